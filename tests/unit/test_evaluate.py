"""`fraudctl evaluate`: the protocol's dates, who leaves the test, the book's metrics, and nothing from the future."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.mappings.files import DataError
from fraudstream.messages.mapping.file import MappingError
from fraudstream.settings import PROJECT_DIR
from model.durations import DAY_MS
from model.evaluate.features import build
from model.evaluate.history import History, HistoryFileError, read
from model.evaluate.mapping import mapping_of
from model.evaluate.metrics import Metrics, card_precision, measure
from model.evaluate.protocol import Protocol, ProtocolError, split

DELAY = timedelta(days=2)
NAMES = ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD")


def purchases(days: int = 40, seed: int = 0) -> pd.DataFrame:
    """A small shop: a customer's frauds are several times as high as the customer's habit."""
    random = np.random.default_rng(seed)
    size = days * 60
    customers = random.integers(0, 60, size)
    frauds = random.random(size) < 0.04
    amounts = (20 + customers) * random.uniform(0.5, 1.5, size) * np.where(frauds, 5, 1)
    seconds = np.sort(random.integers(0, days * 86_400, size))
    return pd.DataFrame(
        {
            "TRANSACTION_ID": np.arange(size),
            "TX_DATETIME": pd.Timestamp("2026-01-01") + pd.to_timedelta(seconds, unit="s"),
            "CUSTOMER_ID": [f"customer {number}" for number in customers],
            "TERMINAL_ID": random.integers(0, 15, size),
            "TX_AMOUNT": amounts.round(2),
            "TX_FRAUD": frauds.astype(int),
        }
    )


def history_of(rows: list[tuple[float, int, int, float, bool]]) -> History:
    """From (day since 1970, customer, terminal, amount, fraud), ascending by day."""
    days, customers, terminals, amounts, frauds = (np.array(column) for column in zip(*rows, strict=True))
    return History((days * DAY_MS).astype(np.int64), customers, terminals, amounts.astype(float), frauds)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "history.csv"
    purchases().to_csv(path, index=False)
    return path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "model.evaluate", *map(str, arguments)]
    return subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)


def test_the_command_finds_the_frauds_and_repeats_itself(shop: Path) -> None:
    arguments = ("--transactions", shop, "--train-start", "2026-01-10", "--train-days", "14", "--json")
    first, second = run(*arguments), run(*arguments)
    metrics = json.loads(first.stdout)
    assert first.stdout == second.stdout
    assert list(metrics) == ["auc_roc", "average_precision", "card_precision_at_100", "n_test", "n_fraud"]
    assert metrics["auc_roc"] > 0.95
    assert 0 < metrics["n_fraud"] < metrics["n_test"] < 7 * 60
    assert "read 2,400 transactions" in first.stderr


def test_without_json_people_read_a_table_of_the_latest_period(shop: Path) -> None:
    shown = run("--transactions", shop)
    assert shown.returncode == 0, shown.stderr
    assert "test 2026-02-03 until 2026-02-10" in " ".join(shown.stderr.split())
    assert "average precision" in shown.stdout


def test_the_periods_follow_one_another() -> None:
    protocol = Protocol(date(2018, 7, 25), train_days=7, delay_days=7, test_days=7)
    assert protocol.train_end == date(2018, 8, 1)
    assert (protocol.test_start, protocol.test_end) == (date(2018, 8, 8), date(2018, 8, 15))


def test_only_days_of_the_periods_are_used() -> None:
    rows = [
        (day + half, 10 * day + index, 0, 1.0, index == 1) for day in range(10) for index, half in ((0, 0.0), (1, 0.9))
    ]
    history = history_of(rows)
    parts = split(history, Protocol(date(1970, 1, 2), train_days=2, delay_days=3, test_days=2))
    assert sorted({row // 2 for row in parts.train}) == [1, 2]
    assert parts.days.tolist() == [6, 6, 7, 7]
    assert (parts.test // 2).tolist() == [6, 6, 7, 7]
    assert parts.removed == 0


def test_cards_leave_the_test_once_their_fraud_is_known_and_not_before() -> None:
    """Training days 1 and 2, delay 3, test days 6 to 8. Every customer buys on each test day."""
    frauds = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6}  # customer: day of the fraud
    rows = [(float(day), customer, 0, 1.0, True) for customer, day in frauds.items()]
    rows += [(day + 0.5, customer, 0, 1.0, False) for day in (1, 6, 7, 8) for customer in frauds]
    history = history_of(sorted(rows))
    parts = split(history, Protocol(date(1970, 1, 2), train_days=2, delay_days=3, test_days=3))
    remaining = {day: set(history.customers[parts.test[parts.days == day]].tolist()) for day in (6, 7, 8)}
    # A fraud before training isn't looked at, as in the book: customer 0 stays.
    assert remaining == {6: {0, 3, 4, 5, 6}, 7: {0, 4, 5, 6}, 8: {0, 5, 6}}
    assert parts.removed == 2 + 3 + 4


def test_periods_outside_the_history_are_refused_with_what_is_there(shop: Path) -> None:
    done = run("--transactions", shop, "--train-start", "2026-01-30")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "the history is from 2026-01-01 until 2026-02-09" in done.stderr


def test_a_test_without_fraud_is_refused() -> None:
    history = history_of(
        [(0.0, 0, 0, 1.0, True), (0.5, 1, 0, 1.0, False), (1.0, 1, 0, 1.0, False), (1.5, 2, 0, 1.0, False)]
    )
    with pytest.raises(ProtocolError, match="the test period has 2 transactions with 0 frauds"):
        split(history, Protocol(date(1970, 1, 1), train_days=1, delay_days=0, test_days=1))


def test_card_precision_blocks_detected_cards_and_counts_a_card_once() -> None:
    days = np.array([0, 0, 0, 0, 1, 1, 1])
    customers = np.array([1, 1, 2, 3, 1, 2, 3])
    scores = np.array([0.9, 0.1, 0.8, 0.7, 0.9, 0.8, 0.7])
    frauds = np.array([False, True, False, True, True, False, True])
    # Day 0: cards 1 (its fraud is its lower transaction) and 2: 1 of 2. Day 1 without card 1: cards 2 and 3: 1 of 2.
    assert card_precision(frauds, scores, customers, days, cards=2) == 0.5
    # With 3 places: day 0 finds cards 1 and 3, day 1 has only card 2 left: (2/3 + 0) / 2.
    assert card_precision(frauds, scores, customers, days, cards=3) == pytest.approx(1 / 3)


def test_metrics_of_a_case_done_by_hand() -> None:
    frauds = np.array([True, False, True, False])
    scores = np.array([0.9, 0.8, 0.7, 0.1])
    found = measure(frauds, scores, customers=np.arange(4), days=np.zeros(4, int))
    # 3 of the 4 pairs are in order; precision 1 at the first fraud and 2/3 at the second; 2 cards of 100.
    assert found == Metrics(0.75, pytest.approx((1 + 2 / 3) / 2), 0.02, 4, 2)


def test_habit_and_risk_of_a_case_done_by_hand() -> None:
    history = history_of(
        [
            (0.0, 0, 5, 10.0, False),
            (1.0, 0, 7, 20.0, True),
            (3.5, 1, 7, 5.0, True),
            (4.0, 0, 7, 60.0, False),
        ]
    )
    first, last = build(history, np.array([0, 3]), DELAY).to_dict("records")
    assert (first["customer_count_ever"], first["terminal_known_ever"]) == (0, 0)
    assert np.isnan([first["amount_to_mean"], first["customer_median"], first["share_above_of_20"]]).all()
    assert (last["customer_count_1d"], last["customer_count_7d"], last["customer_mean_ever"]) == (0, 2, 15.0)
    assert (last["amount_to_mean"], last["customer_deviation"], last["amount_in_deviations"]) == (4.0, 5.0, 9.0)
    assert (last["amount_to_maximum"], last["amount_to_legitimate_mean"], last["share_above_of_20"]) == (3.0, 6.0, 0.0)
    # Of the terminal's two frauds, the one of day 1 is known on day 4, that of day 3.5 isn't.
    assert (last["terminal_count_7d"], last["terminal_known_7d"], last["terminal_frauds_7d"]) == (2, 1, 1)
    assert (last["days_since_terminals_last_fraud"], last["terminal_frauds_1d"]) == (3.0, 0)
    assert (last["customers_times_at_terminal"], last["seconds_since_customer_at_terminal"]) == (1, 3 * 86_400)
    assert (last["hour_of_day"], last["day_of_week"]) == (0.0, 0)  # Monday, 5 January 1970


def drawn(random: np.random.Generator, size: int, quarters: int) -> History:
    """Purchases of few customers at few terminals, many at the same instant."""
    return History(
        times=np.sort(random.integers(0, quarters, size)) * (DAY_MS // 4),
        customers=random.integers(0, 3, size),
        terminals=random.integers(0, 2, size),
        amounts=random.uniform(0.01, 1000, size),
        frauds=random.random(size) < 0.4,
    )


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), size=st.integers(2, 40))
def test_what_comes_later_changes_no_feature(seed: int, size: int) -> None:
    """Later rows are replaced, and labels that aren't known yet are turned: the same features, bit by bit."""
    random = np.random.default_rng(seed)
    history = drawn(random, size, quarters=41)
    row = int(random.integers(0, size))
    expected = build(history, np.array([row]), DELAY)

    unknown = history.times > history.times[row] - DELAY // timedelta(milliseconds=1)
    turned = replace(history, frauds=history.frauds ^ unknown)
    pd.testing.assert_frame_equal(build(turned, np.array([row]), DELAY), expected, check_exact=True)

    later = drawn(random, int(random.integers(0, 10)), quarters=20)
    columns = {
        name: np.concatenate([getattr(history, name)[: row + 1], column])
        for name, column in vars(later).items()
        if isinstance(column, np.ndarray)
    }
    columns["times"][row + 1 :] += history.times[row]
    pd.testing.assert_frame_equal(build(History(**columns), np.array([row]), DELAY), expected, check_exact=True)


def test_a_known_label_does_count() -> None:
    """The counterpart: a property test of features that ignore every label would pass, too."""
    rows = [(0.0, 0, 0, 1.0, False), (2.0, 1, 0, 1.0, False)]
    history = history_of(rows)
    turned = replace(history, frauds=np.array([True, False]))
    risk = [build(each, np.array([1]), DELAY)["terminal_frauds_7d"].item() for each in (history, turned)]
    assert risk == [0, 1]


def written(folder: Path, suffix: str = ".csv", **columns: object) -> Path:
    """Three purchases as a file, with some columns replaced."""
    table = purchases(days=1).head(3).assign(**columns)
    path = folder / f"history{suffix}"
    if suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"TX_DATETIME": ["2026-01-01T00:00:00Z", "2026-13-01", "soon"]},
            "row 2: event_time (from `TX_DATETIME`): '2026-13-01' is no time of ISO",
        ),
        ({"TX_DATETIME": ["2026-01-01", "2026-01-01", None]}, "row 3: event_time (from `TX_DATETIME`): has no value"),
        (
            {"TX_DATETIME": ["now", "2026-01-01", "today"]},
            "row 1: event_time (from `TX_DATETIME`): 'now' is no time of ISO 8601",
        ),
        ({"TX_AMOUNT": ["1", "2", "three"]}, "row 3: amount (from `TX_AMOUNT`): 'three' is not an amount"),
        ({"TX_FRAUD": ["0", "1", "maybe"]}, "row 3: is_fraud (from `TX_FRAUD`): 'maybe' is none of '0', '1'"),
        ({"CUSTOMER_ID": ["a", None, "b"]}, "row 2: customer_id (from `CUSTOMER_ID`): has no value"),
        ({"TRANSACTION_ID": ["x", "y", "x"]}, "row 3: transaction_id: 'x' is already in row 1"),
    ],
)
def test_what_cannot_be_used_is_refused_by_column_and_row(
    tmp_path: Path, suffix: str, columns: dict[str, object], said: str
) -> None:
    with pytest.raises(HistoryFileError) as refused:
        path = written(tmp_path, suffix, **columns)
        read(path, mapping_of(path))
    assert said in str(refused.value)


@pytest.mark.parametrize("missing", [name for name in NAMES if name not in {"TRANSACTION_ID", "TERMINAL_ID"}])
def test_a_missing_column_is_named(tmp_path: Path, missing: str) -> None:
    path = written(tmp_path)
    pd.read_csv(path).drop(columns=missing).to_csv(path, index=False)
    with pytest.raises(MappingError, match=f"has no column .*{missing}"):
        mapping_of(path)


def test_a_mapping_names_columns_and_the_form_of_time(tmp_path: Path) -> None:
    path = written(tmp_path, TX_DATETIME=["03.01.2026 10:00", "02.01.2026 10:00", "01.01.2026 10:00"])
    pd.read_csv(path).rename(columns={"CUSTOMER_ID": "card"}).to_csv(path, index=False)
    mapping = tmp_path / "columns.toml"
    mapping.write_text('time_format = "%d.%m.%Y %H:%M"\n[columns]\ncustomer_id = "card"\n')
    history = read(path, mapping_of(path, mapping))
    assert np.diff(history.times).tolist() == [DAY_MS, DAY_MS]
    assert history.amounts.tolist() == purchases(days=1)["TX_AMOUNT"].head(3).tolist()[::-1]


def test_times_with_a_zone_and_parquets_own_are_the_same_instants(tmp_path: Path) -> None:
    zoned = written(
        tmp_path, TX_DATETIME=["2026-01-01T01:00:00+01:00", "2026-01-01 00:00:01", "2026-01-01T00:00:02.5Z"]
    )
    assert (read(zoned, mapping_of(zoned)).times - 1_767_225_600_000).tolist() == [0, 1000, 2500]
    stamps = pd.Timestamp("2026-01-01") + pd.to_timedelta([0, 1, 2.5], unit="s")
    columnar = written(tmp_path, ".parquet", TX_DATETIME=stamps)
    assert (read(columnar, mapping_of(columnar)).times == read(zoned, mapping_of(zoned)).times).all()


def test_two_columns_for_one_role_need_a_mapping(tmp_path: Path) -> None:
    path = written(tmp_path, device_id=["a", "b", "c"])
    with pytest.raises(MappingError, match="several columns for terminal_id"):
        mapping_of(path)
    toml = tmp_path / "columns.toml"
    toml.write_text('[columns]\nterminal_id = "device_id"\n')
    assert len(read(path, mapping_of(path, toml))) == 3


def test_an_unknown_key_of_a_mapping_is_named(tmp_path: Path) -> None:
    mapping = tmp_path / "columns.toml"
    mapping.write_text('[columns]\ncard = "x"\n')
    with pytest.raises(MappingError, match=r"key columns\.card"):
        mapping_of(written(tmp_path), mapping)


@pytest.mark.parametrize("name", ["history.pkl", "absent.csv", "absent.parquet"])
def test_other_files_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        mapping_of(tmp_path / name)


def test_every_feature_is_documented() -> None:
    """By its own name, or by its family's: `customer_count_*` stands for all windows."""
    text = (PROJECT_DIR / "docs" / "evaluate.md").read_text()
    history = history_of([(0.0, 0, 0, 1.0, False)])
    names = build(history, np.array([0]), DELAY)
    families = {name: f"{str(name).rpartition('_')[0]}_*" for name in names}
    assert [name for name, family in families.items() if f"`{name}`" not in text and f"`{family}`" not in text] == []
