"""A recorded stretch of events: its features in the stream and in training, equal to the bit.

However the recording is cut into micro-batches, and wherever the job is killed and begins again from its last state.
Entity risk is refreshed meanwhile, and joined a minute later, as live.
"""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from random import Random
from zlib import crc32

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql.pandas.types import to_arrow_schema

from fraudstream.messages.contracts import Topic
from fraudstream.settings import EntityRiskSettings
from fraudstream.simulator.history import write_history
from fraudstream.simulator.history_plan import HistoryPlan
from fraudstream.simulator.recording import open_recording
from fraudstream.static_data.currencies import CurrencyRates, Rate
from fraudstream.static_data.entities import newest_refresh
from model.durations import DAY_MS
from model.features.columns import ENTITY_FEATURES, FEATURE_NAMES, TERMINAL_FEATURES
from model.features.entity_risk import EntityRisk
from model.features.static import StaticData
from model.training.dataset import build
from model.training.history import HistoryFolder
from spark_jobs.bucket import Kind, Limits, Message, Outcome
from spark_jobs.schemas import OUTCOME
from spark_jobs.scoring import ModelFiles, ScoringData, served_columns_of
from tests.unit.entity_refresh import refreshed, utc, with_items
from tests.unit.kept_log import KeptLog

CONFIG = EntityRiskSettings(refresh_minutes=30, publication_seconds=60)
LIMITS = Limits(timedelta(minutes=5), 60_000, 400 * DAY_MS, 30 * DAY_MS, 7 * DAY_MS, resume={})
RATES = CurrencyRates.of(
    "EUR", [Rate("JPY", date(2026, 10, 1), Decimal("0.0061")), Rate("JPY", date(2026, 11, 1), Decimal("0.0063"))]
)
BUCKETS = 4


#: Columns that one in so many transactions lacks.
_LACKING = {
    7: ["device_id"],
    11: ["session_id"],
    13: ["items"],
    17: ["shipping_latitude", "shipping_longitude"],
    19: ["shipping_country", "payment_method", "card_token"],
    23: ["ip_country", "shipping_fee", "currency"],
    29: ["promo_code", "promo_amount"],
}


class Shop:
    """A history whose labels come within the hour, and its features as training computes them, by transaction id.

    It is in three currencies, of which one has a new rate in the middle, and one has none.
    """

    def __init__(self, folder: Path) -> None:
        plan = HistoryPlan(42, 300, 200, 1_500, 0.1, 0.5, datetime(2026, 11, 1, 6, tzinfo=UTC))
        list(write_history(folder, plan, 1))
        bought = pd.concat([_shared(part) for part in (folder / "transactions").iterdir()])
        for part in (folder / "labels").iterdir():
            _hasten(part, bought)
        history = HistoryFolder(folder)
        self.static = StaticData.from_frames(history.table("customers"), history.table("products"))
        self.transactions = with_items(history.table("transactions").set_index("transaction_id"))
        self.labels = history.table("labels")
        recorded = open_recording(folder).messages(None)
        topics = (Topic.BROWSE_EVENTS, Topic.TRANSACTIONS, Topic.TRANSACTION_LABELS)
        self.messages = [
            Message(sent.topic, 0, offset, sent.due_ms, sent.key, sent.value)
            for offset, sent in enumerate(recorded)
            if sent.topic in topics
        ]
        data = build(history, 1, lambda _: None, CONFIG, RATES)
        self.trained = pd.DataFrame(data.features, data.rows.index, FEATURE_NAMES)
        self._refreshes: dict[int, EntityRisk] = {}

    def refresh_at(self, time_ms: int) -> int:
        """The refresh that a micro-batch at this time joins."""
        return newest_refresh(time_ms - CONFIG.publication_seconds * 1000, CONFIG.refresh_minutes)

    def joined_data(self, refresh_ms: int) -> ScoringData:
        """What a micro-batch is scored with after that refresh."""
        if refresh_ms not in self._refreshes:
            known = refreshed(self.transactions, self.labels, self.static.categories, utc(refresh_ms))
            self._refreshes[refresh_ms] = known
        return ScoringData(ModelFiles(b"", b""), None, self.static, self._refreshes[refresh_ms], "EUR")


def _shared(part: Path) -> pd.Series:
    """Makes one in twelve buy with a device and a card that others use too, and others in other currencies.

    And some lack things.

    Returns the times by transaction_id.
    """
    transactions = pq.read_table(part).to_pandas()
    transactions.loc[::5, "currency"] = "JPY"
    transactions.loc[1::9, "currency"] = "GBP"
    transactions.loc[::12, ["device_id", "card_token"]] = "shared"
    for every, columns in _LACKING.items():
        transactions.loc[1::every, columns] = None
    pq.write_table(pa.Table.from_pandas(transactions, preserve_index=False), part)
    return transactions.set_index("transaction_id")["event_time"]


def _hasten(part: Path, event_time: pd.Series) -> None:
    """Makes the labels of days come within minutes."""
    labels = pq.read_table(part).to_pandas()
    bought = event_time.reindex(labels["transaction_id"]).array
    labels["labelled_at"] = (bought + (labels["labelled_at"] - bought) / 120).dt.floor("ms")
    pq.write_table(pa.Table.from_pandas(labels, preserve_index=False), part)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("recording") / "history")


def micro_batches(shop: Shop, random: Random) -> Iterator[tuple[int, list[Message]]]:
    """The recording in micro-batches of up to some size, each with the refresh that it is joined with."""
    most = random.choice([50, 1_000, 20_000])
    for refresh_ms, group in groupby(shop.messages, lambda message: shop.refresh_at(message.ingest_ms)):
        messages = list(group)
        while messages:
            size = random.randint(1, most)
            yield refresh_ms, messages[:size]
            del messages[:size]


def run_batch(state: dict[int, KeptLog], messages: list[Message]) -> tuple[dict[int, KeptLog], list[Outcome]]:
    """The stateful stage on one micro-batch: the new state and what became of the messages."""
    after, outcomes = dict(state), []
    messages = sorted(messages, key=lambda message: crc32(message.key or b"") % BUCKETS)
    for number, mine in groupby(messages, lambda message: crc32(message.key or b"") % BUCKETS):
        log = state.get(number, KeptLog())
        bucket = log.bucket(LIMITS, RATES)
        outcomes += bucket.handle(mine)
        after[number] = log.after(bucket)
    return after, outcomes


def streamed(shop: Shop, random: Random) -> pd.DataFrame:
    """The features of all transactions, as the stream scores them, with a kill in one of ten micro-batches."""
    state: dict[int, KeptLog] = {}
    identifiers: list[str] = []
    parts: list[np.ndarray] = []
    for refresh_ms, messages in micro_batches(shop, random):
        if random.random() < 0.1:
            run_batch(state, messages[: len(messages) // 2])  # killed: neither state nor outcomes were kept
        state, outcomes = run_batch(state, messages)
        scored = [outcome for outcome in outcomes if outcome.kind == Kind.TRANSACTION]
        if scored:
            table = pa.Table.from_pylist([row._asdict() for row in scored], to_arrow_schema(OUTCOME))
            served = served_columns_of(table.to_batches()[0], shop.joined_data(refresh_ms))
            parts.append(served[:, : len(FEATURE_NAMES)])
            identifiers += [json.loads(row.value or b"")["transaction_id"] for row in scored]
    return pd.DataFrame(np.concatenate(parts), identifiers, FEATURE_NAMES)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=3)
def test_the_stream_computes_the_bits_that_training_computed(shop: Shop, seed: int) -> None:
    live = streamed(shop, Random(seed)).reindex(shop.trained.index)
    different = [
        name for name in FEATURE_NAMES if live[name].to_numpy().tobytes() != shop.trained[name].to_numpy().tobytes()
    ]
    assert not different


def test_the_recording_is_one_that_could_show_a_difference(shop: Shop) -> None:
    """Every feature differs somewhere; but nobody buys twice in a session, or at a terminal."""
    assert len(shop.trained) == 1_500
    constant = [name for name in FEATURE_NAMES if shop.trained[name].nunique() < 2]
    assert constant == ["session_transactions", *TERMINAL_FEATURES]
    assert shop.trained["amount"].isna().mean() > 0.1
    assert (shop.trained[list(ENTITY_FEATURES)].max() > 1).all()
