"""Training: split by time, only labels that had come, the threshold from the team's capacity, the same bytes twice."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from fraudstream.messages.contracts import BrowseEvent, Item, Transaction
from fraudstream.settings import PROJECT_DIR, ShopSettings, load_settings
from fraudstream.static_data.currencies import CurrencyRates
from model.features.columns import FEATURE_NAMES, STATEFUL_COLUMNS, TERMINAL_FEATURES
from model.features.observe import observe_browse, observe_transaction
from model.features.profile import Profile
from model.serving.artifact import METADATA_FILE, read_metadata
from model.serving.scorer import Scorer, calibrated
from model.training.calibration import fit_calibration
from model.training.dataset import Dataset, build
from model.training.errors import HistoryError, TrainingError
from model.training.history import RATES_FILE, WARM_UP_DATASETS, HistoryFolder
from model.training.metrics import card_precision, evaluate
from model.training.split import split_by_time
from model.training.stateful import stateful_features
from model.training.thresholds import Period, ThresholdRule
from model.training.train import app
from model.training.trainer import Options, train
from tests.unit.model_events import START

EUROS = CurrencyRates("EUR")
PYTHON = sys.executable


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of the simulated shop, with so many frauds that a small history is enough."""
    folder = tmp_path_factory.mktemp("history")
    environment = {"FRAUDSTREAM_PRODUCER__FRAUD_RATE": "0.1", "FRAUDSTREAM_PRODUCER__CUSTOMERS": "300"}
    subprocess.run(
        [PYTHON, "-m", "fraudstream.simulator", "produce", "--out", folder, "--transactions", "3000", "--days", "2"],
        cwd=PROJECT_DIR,
        env=os.environ | environment,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def models(history: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same history trained on twice, with its features computed in two processes and in one."""
    folders = (tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second"))
    command = [PYTHON, "-m", "model.training.train", "--history", str(history), "--trials", "2"]
    for processes, folder in zip("21", folders, strict=True):
        subprocess.run([*command, "--out", str(folder), "--processes", processes], cwd=PROJECT_DIR, check=True)
    return folders


def test_training_twice_gives_the_same_artifact(models: tuple[Path, Path]) -> None:
    first, second = (read_metadata(folder) for folder in models)
    assert first.sha256 == second.sha256
    assert (first.version, first.calibration, first.tuning) == (second.version, second.calibration, second.tuning)
    for plot in ("precision-recall.png", "calibration.png", "scenarios.png"):
        assert (models[0] / plot).read_bytes() == (models[1] / plot).read_bytes()
    assert (first.threshold, first.metrics, first.usual) == (second.threshold, second.metrics, second.usual)


def test_what_was_trained_can_be_used_and_describes_itself(models: tuple[Path, Path], history: Path) -> None:
    scorer = Scorer.load(models[0])
    metadata = json.loads((models[0] / METADATA_FILE).read_bytes())
    periods = metadata["data"][history.name]
    assert scorer.features == tuple(name for name in FEATURE_NAMES if name not in TERMINAL_FEATURES)  # nobody has any
    assert periods["training"]["until"] < periods["validation"]["from"] <= periods["validation"]["until"]
    assert periods["validation"]["until"] < periods["test"]["from"]
    assert metadata["metrics"]["histories"][history.name]["average_precision"] > 0.5
    card = (models[0] / "README.md").read_text()
    assert metadata["version"] in card
    assert "(chosen for 1.5 alerts a fraud)" in card
    assert "| account_takeover |" in card
    for plot in models[0].glob("*.png"):
        assert f"]({plot.name})" in card
    tuning = [trial["average_precision"] for trial in metadata["tuning"]]
    assert len(tuning) == 2
    assert tuning == sorted(tuning, reverse=True)


def test_a_historys_features_are_those_of_the_feature_code(history: Path) -> None:
    """In one process or two; and as if every event were taken by hand, in the order of time."""
    folder = HistoryFolder(history)
    progress: list[int] = []
    parallel = stateful_features(folder, 2, progress.append, EUROS)
    assert progress == sorted(progress)
    progress.clear()
    assert len(parallel) == folder.rows("transactions")
    pd.testing.assert_frame_equal(
        parallel.sort_index(), stateful_features(folder, 1, progress.append, EUROS).sort_index(), check_exact=True
    )

    transactions = folder.table("transactions")
    customer = transactions["customer_id"].value_counts().index[0]
    browsing = folder.table("browse_events")
    events: list[BrowseEvent | Transaction] = [
        BrowseEvent(**{"schema_version": 1} | row)
        for row in browsing[browsing["customer_id"] == customer].to_dict("records")
    ]
    for row in transactions[transactions["customer_id"] == customer].to_dict("records"):
        row["items"] = [Item(**item) for item in row["items"]]
        events.append(Transaction(**{"schema_version": 1} | row))
    profile = Profile()
    for event in sorted(events, key=lambda event: event.event_time):
        if isinstance(event, BrowseEvent):
            observe_browse(profile, event)
        else:
            values = observe_transaction(profile, event, 1.0)
            expected = parallel.loc[event.transaction_id, list(STATEFUL_COLUMNS)].to_numpy()
            np.testing.assert_array_equal(np.array(values), expected)


@pytest.fixture(scope="module")
def warmed(history: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The history's later half, with the first half as its warm-up, in several parts that overlap in time.

    One of them is a past that was imported.
    """
    past = HistoryFolder(tmp_path_factory.mktemp("past"))
    whole, later = HistoryFolder(history), HistoryFolder(tmp_path_factory.mktemp("warmed"))
    for name in ("customers", "products"):
        whole.table(name).to_parquet(later.path / f"{name}.parquet")
    middle = whole.table("transactions")["event_time"].median()
    for name in (*WARM_UP_DATASETS, "truth"):
        table = pa.concat_tables([pq.read_table(part) for part in whole.parts(name)])
        early = table["labelled_at" if name == "labels" else "event_time"].to_pandas() < middle
        parts = {later.path / name: [table.filter(pa.array(~early))]}
        if name != "truth":
            before = table.filter(pa.array(early))
            thirds = [before.take(list(range(n, len(before), 3))) for n in range(3)]
            parts |= {later.warm_up.path / name: thirds[:2], past.path / name: thirds[2:]}
        for folder, tables in parts.items():
            folder.mkdir(parents=True)
            for number, part in enumerate(tables):
                pq.write_table(part, folder / f"part-{number:05d}.parquet")
    later.begin_with(past)
    return later.path


def test_features_begin_with_all_that_came_before_and_only_the_period_is_trained_on(
    history: Path, warmed: Path
) -> None:
    """The leak's counterpart: profiles and entity risk of an empty platform are not what the stream would have seen."""
    config = load_settings().entity_risk
    whole, later = (build(HistoryFolder(path), 1, lambda _: None, config, EUROS) for path in (history, warmed))
    assert later.rows["event_time"].min() >= whole.rows["event_time"].median()
    assert 1_400 < len(later) < 1_600
    place = whole.rows.index.get_indexer(later.rows.index)
    np.testing.assert_array_equal(later.features, whole.features[place])
    known = later.rows["event_time"].max()
    np.testing.assert_array_equal(later.known_fraud(known), whole.known_fraud(known)[place])


def test_a_label_from_later_hides_none_that_was_known(history: Path, tmp_path: Path) -> None:
    """A fraud that is confirmed again, or taken back, was known as fraud until then."""
    shutil.copytree(history, tmp_path / "history")
    folder = HistoryFolder(tmp_path / "history")
    labels = folder.table("labels")
    frauds = labels[labels["is_fraud"]].sort_values("labelled_at").drop_duplicates("transaction_id")
    again = frauds.assign(labelled_at=frauds["labelled_at"] + timedelta(days=30))
    again["is_fraud"] = np.arange(len(frauds)) % 2 > 0
    first = folder.parts("labels")[0]
    pq.write_table(pa.Table.from_pandas(again, pq.read_schema(first)), first.with_name("part-99999.parquet"))
    data = build(folder, 1, lambda _: None, load_settings().entity_risk, EUROS)
    for moment in (frauds["labelled_at"].median(), again["labelled_at"].max()):
        latest = pd.concat([labels, again]).sort_values("labelled_at", kind="stable")
        latest = latest[latest["labelled_at"] <= moment].drop_duplicates("transaction_id", keep="last")
        expected = set(latest.loc[latest["is_fraud"], "transaction_id"])
        assert set(data.rows.index[data.known_fraud(moment)]) == expected
        assert expected


def dataset(frauds: np.ndarray, delay: timedelta, step: timedelta = timedelta(minutes=10)) -> Dataset:
    times = pd.Series([START + number * step for number in range(len(frauds))])
    rows = pd.DataFrame(
        {
            "customer_id": "c1",
            "event_time": times,
            "shop_amount": np.arange(1, len(frauds) + 1) * 10.0,
            "labelled_at": times + delay,
            "labelled_fraud": frauds,
            "is_fraud": frauds,
            "scenario": np.where(frauds, "card_testing", "legitimate"),
        }
    )
    return Dataset(rows, np.zeros((len(rows), 1)))


def test_the_split_waits_for_labels_and_tests_on_what_comes_later() -> None:
    data = dataset(np.arange(4_000) % 10 == 0, timedelta(hours=20))
    split = split_by_time(data)
    times = {name: getattr(split, name).rows["event_time"] for name in ("training", "validation", "test")}
    assert times["training"].max() < times["validation"].min()
    assert times["validation"].max() + timedelta(hours=20) <= split.labelled_by <= times["test"].min()
    assert len(split.test) == pytest.approx(1_000, abs=2)
    assert not split.test.known_fraud(split.labelled_by).any()


def test_labels_that_had_not_come_are_not_used() -> None:
    data = dataset(np.ones(10, bool), timedelta(hours=1))
    assert data.known_fraud(pd.Timestamp(START) + timedelta(hours=1, minutes=25)).sum() == 3


def test_a_short_history_is_trained_on_after_its_labels_came() -> None:
    split = split_by_time(dataset(np.arange(4_000) % 10 == 0, timedelta(days=90)))
    assert split.delay == timedelta(0)
    assert split.training.known_fraud(split.labelled_by).sum() == split.training.truth.sum() > 0


def test_too_few_frauds_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"training period has 11 frauds among .* longer history"):
        split_by_time(dataset(np.arange(400) % 20 == 0, timedelta(hours=1)))


def test_the_threshold_raises_as_many_alerts_as_the_team_can_take() -> None:
    scores = np.linspace(0, 1, 1_001)
    frauds = np.arange(1_001) < 20
    period = Period(scores, frauds, np.full(1_001, 100.0), days=2.0)
    assert (scores >= ThresholdRule(alerts_per_fraud=1.5).choose(period)).sum() == 30
    assert (scores >= ThresholdRule(alerts_per_fraud=1.5, alerts_per_day=7).choose(period)).sum() == 14


def test_the_cheapest_threshold_weighs_reviews_against_missed_amounts() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.7, 0.2, 0.1])
    frauds = np.array([True, False, True, False, False, True])
    # Costs of flagging the first n: 5-100, 10-100, (15-100, within a tie), 20-140, 25-140, 30-143.
    period = Period(scores, frauds, np.array([100.0, 1, 40, 1, 1, 3]), days=1.0)
    assert ThresholdRule(alerts_per_fraud=1.5, by_cost=True, review_cost=5.0).choose(period) == 0.7
    assert ThresholdRule(alerts_per_fraud=1.5, by_cost=True, review_cost=50.0).choose(period) == 0.9
    assert ThresholdRule(alerts_per_fraud=1.5, by_cost=True, review_cost=1.0).choose(period) == 0.1


def test_an_amount_without_an_exchange_rate_is_added_to_nothing() -> None:
    data = dataset(np.array([True, True, False, True]), timedelta(0))
    data.rows["shop_amount"] = [10.0, np.nan, 30.0, 40.0]
    metrics = evaluate(data, np.array([0.9, 0.8, 0.2, 0.1]), 0.5, ThresholdRule(alerts_per_fraud=1.5, review_cost=1))
    assert (metrics["fraud_amount"], metrics["saved_amount"], metrics["net_saved_amount"]) == (50, 10, 8)


def test_a_history_is_converted_with_the_rates_that_were_collected_with_it_or_the_file_s(tmp_path: Path) -> None:
    file = tmp_path / "rates.csv"
    file.write_text("currency,valid_from,rate\nJPY,2026-01-01,0.0061\n")
    shop, moment = ShopSettings(currency_rates=file), int(START.timestamp() * 1000)
    assert HistoryFolder(tmp_path).rates(shop).at("JPY", moment) == 0.0061
    collected = pa.table({"currency": ["JPY"], "valid_from": [date(2026, 1, 1)], "rate": [0.0062]})
    pq.write_table(collected, tmp_path / RATES_FILE)
    assert HistoryFolder(tmp_path).rates(shop).at("JPY", moment) == 0.0062


def test_metrics_by_hand() -> None:
    data = dataset(np.array([True, True, False, False]), timedelta(0))
    metrics = evaluate(data, np.array([0.9, 0.2, 0.8, 0.1]), 0.5, ThresholdRule(alerts_per_fraud=1.5))
    assert (metrics["flagged"], metrics["precision"], metrics["recall"]) == (2, 0.5, 0.5)
    assert metrics["roc_auc"] == 0.75
    assert metrics["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert metrics["recall_by_scenario"] == {"card_testing": 0.5}
    assert metrics["recall_at_budget"] == 1.0  # three alerts for two frauds
    assert (metrics["fraud_amount"], metrics["saved_amount"], metrics["net_saved_amount"]) == (30.0, 10.0, 0.0)
    assert metrics["brier"] == pytest.approx((0.1**2 + 0.8**2 + 0.8**2 + 0.1**2) / 4)
    assert [(one["from"], one["transactions"], one["fraud_share"]) for one in metrics["reliability"]] == [
        (0.1, 1, 0.0),
        (0.2, 1, 1.0),
        (0.8, 2, 0.5),
    ]


def test_card_precision_is_over_days_and_customers() -> None:
    data = dataset(np.array([True, False, False, True]), timedelta(0), step=timedelta(hours=8))
    rows = data.rows.assign(customer_id=["a", "a", "b", "c"])  # from noon: one day has two rows, the next the others
    scores = np.array([0.2, 0.9, 0.3, 0.1])
    assert card_precision(rows, data.truth, scores, cards=1) == pytest.approx((1 + 0) / 2)
    assert card_precision(rows, data.truth, scores, cards=2) == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_calibration_makes_scores_probabilities_and_keeps_the_ranking() -> None:
    random = np.random.default_rng(3)
    probabilities = random.uniform(0.001, 0.5, 20_000)
    truth = random.random(20_000) < probabilities
    log_odds = np.log(probabilities / (1 - probabilities))
    calibration = fit_calibration(2 * log_odds + 1, truth)
    assert (calibration.slope, calibration.intercept) == pytest.approx((0.5, -0.5), abs=0.06)
    scores = calibrated(2 * log_odds + 1, calibration)
    assert (np.argsort(scores) == np.argsort(log_odds)).all()
    assert scores.mean() == pytest.approx(truth.mean(), abs=1e-4)


def test_scores_that_fall_with_fraud_are_refused() -> None:
    truth = np.arange(100) < 30
    with pytest.raises(TrainingError, match="don't score higher"):
        fit_calibration(np.where(truth, -1.0, 1.0) + np.arange(100) % 7, truth)


def test_without_truth_what_is_too_new_to_be_labelled_is_left_out() -> None:
    data = dataset(np.arange(4_000) % 10 == 0, timedelta(hours=20))
    judged = split_by_time(replace(data, from_labels=True))
    assert judged.test.rows["event_time"].max() <= data.rows["event_time"].max() - timedelta(hours=20)


def test_a_missing_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=str(tmp_path)):
        HistoryFolder(tmp_path).parts("transactions")
    failed = CliRunner().invoke(app, ["--history", str(tmp_path), "--out", str(tmp_path / "model")])
    assert failed.exit_code == 1
    assert "no transactions" in failed.output
    assert "Traceback" not in failed.output


def test_help_has_examples() -> None:
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    assert "./fraudctl train --history" in shown.output


def test_a_model_is_trained_on_what_the_shop_tells_and_scores_with_it() -> None:
    """A shop of amounts, hours and paces; all other features of it are NaN."""
    names = ["since_last", "amount", "hour_of_day"]
    random, rows = np.random.default_rng(3), 2_000
    features = np.full((rows, len(FEATURE_NAMES)), np.nan)
    for name in names:
        features[:, FEATURE_NAMES.index(name)] = random.lognormal(0, 1, rows)
    fraud = features[:, FEATURE_NAMES.index("amount")] > 2.5
    times = pd.Series(pd.date_range("2026-03-01", periods=rows, freq="10min", tz="UTC"))
    table = {
        "customer_id": "c", "event_time": times, "shop_amount": 10.0, "labelled_at": times, "labelled_fraud": fraud,
        "is_fraud": fraud, "scenario": np.where(fraud, "fraud", "legitimate"),
    }  # fmt: skip
    split = split_by_time(Dataset(pd.DataFrame(table), features))
    trained = train({"made": split}, Options(1, 1, ThresholdRule(alerts_per_fraud=1.5)), lambda _: None)
    scorer = Scorer.from_bytes(trained.artifact, trained.metadata.encode())
    assert scorer.features == tuple(name for name in FEATURE_NAMES if name in names)
    assert set(trained.metadata.usual) == set(names)
    assert scorer.score(split.test.features).tobytes() == trained.test_scores["made"].tobytes()
    assert trained.metadata.metrics["average_precision"] > 0.9
