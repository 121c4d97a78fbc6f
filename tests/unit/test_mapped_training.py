"""A shop's own files as a training history: without customers and products, with terminals."""

from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pytest

from fraudstream.mappings.history import write_history
from fraudstream.messages.mapping.file import of
from fraudstream.settings import load_settings
from fraudstream.static_data.currencies import CurrencyRates
from model.features.columns import FEATURE_NAMES, TERMINAL_FEATURES
from model.serving.scorer import Scorer
from model.training.dataset import Dataset, build
from model.training.history import HistoryFolder
from model.training.split import split_by_time
from model.training.thresholds import ThresholdRule
from model.training.trainer import Options, train

START = datetime(2026, 1, 1, tzinfo=UTC)
MAPPING = {
    "source": {"kind": "transaction", "format": "csv"},
    "fields": {
        "transaction_id": "nr", "event_time": "at", "customer_id": "who", "terminal_id": "where", "amount": "eur",
        "is_fraud": "bad",
    },
    "labels": {"delay_days": 7},
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """90 days of 30 terminals, of which each is compromised for four weeks at some time: all is fraud there then."""
    folder, random = tmp_path_factory.mktemp("shop"), Random(4)
    compromised = {f"t{number}": random.uniform(-20, 85) for number in range(30)}
    lines = ["nr,at,who,where,eur,bad"]
    for number, days in enumerate(sorted(random.uniform(0, 90) for _ in range(4_000))):
        terminal = random.choice([*compromised])
        bad = 0 <= days - compromised[terminal] < 28
        moment = f"{START + timedelta(days=days):%Y-%m-%d %H:%M:%S}"
        lines.append(f"{number},{moment},c{random.randrange(60)},{terminal},{random.uniform(5, 90):.2f},{int(bad)}")
    (folder / "orders.csv").write_text("\n".join(lines))
    write_history(folder / "history", [(folder / "orders.csv", of(MAPPING, "orders.toml"))])
    rates, risk = CurrencyRates("EUR"), load_settings().entity_risk
    return build(HistoryFolder(folder / "history"), 1, lambda _: None, risk, rates)


def test_the_features_are_those_that_its_files_allow(data: Dataset) -> None:
    known = [name for name, column in zip(FEATURE_NAMES, data.features.T, strict=True) if not np.isnan(column).all()]
    assert set(TERMINAL_FEATURES) <= set(known)
    assert {"amount_to_mean", "transactions_7d", "hour_of_day"} <= set(known)
    assert not [name for name in known if name.startswith(("session", "device", "home", "list", "category"))]


def test_a_model_learns_what_is_known_of_terminals(data: Dataset) -> None:
    split = split_by_time(data)
    trained = train({"shop": split}, Options(1, 1, ThresholdRule(alerts_per_fraud=1.5)), lambda _: None)
    assert set(TERMINAL_FEATURES) <= set(trained.metadata.features)
    assert trained.metadata.metrics["average_precision"] > 2 * split.test.truth.mean()
    scorer = Scorer.from_bytes(trained.artifact, trained.metadata.encode())
    assert scorer.score(split.test.features).tobytes() == trained.test_scores["shop"].tobytes()
