"""Features of the terminal: windows by hand, what an absent terminal means, and no label before its hour."""

import pickle
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.settings.retention import RetentionSettings
from fraudstream.static_data.entities import MATURITY_DAYS, TERMINAL_DAYS
from model.features.columns import TERMINAL_FEATURES
from model.features.terminals import HORIZON_DAYS, SETTLING_MS, TerminalFacts, hour_of
from model.training.entity_history import milliseconds
from model.training.terminal_history import facts_of, terminal_features_as_of

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
SETTLING = timedelta(milliseconds=SETTLING_MS)


def paid(*rows: tuple[str | None, float], amounts: Sequence[float | None] | float = 10.0) -> pd.DataFrame:
    """Transactions at a terminal, days after MIDNIGHT, named t0, t1 and so on."""
    times = [MIDNIGHT + days * DAY for _, days in rows]
    frame = pd.DataFrame({"terminal_id": [name for name, _ in rows], "event_time": pd.to_datetime(times, utc=True)})
    return frame.assign(shop_amount=amounts).set_index("t" + frame.index.astype(str))


def labels(*rows: tuple[str, bool, float]) -> pd.DataFrame:
    """Labels of transactions, days after MIDNIGHT."""
    columns = ["transaction_id", "is_fraud", "labelled_at"]
    frame = pd.DataFrame([(name, fraud, MIDNIGHT + days * DAY) for name, fraud, days in rows], columns=columns)
    return frame.assign(labelled_at=pd.to_datetime(frame["labelled_at"], utc=True))


def as_of(transactions: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    found = terminal_features_as_of(transactions, known)
    return pd.DataFrame(found, transactions.index, TERMINAL_FEATURES)


def test_the_windows_end_a_week_before() -> None:
    earlier = [("a", day + 0.5) for day in (-25, -3, -1, -1, 0, 1)]
    asked = [(name, MATURITY_DAYS + 1 + 0.5 + SETTLING / DAY) for name in "ab"]
    frauds = labels(*((f"t{number}", True, 2.0) for number in (0, 2, 4, 5)))
    at_a, at_b = as_of(paid(*earlier, *asked), frauds).iloc[-2:].to_dict("records")
    assert [at_a[f"terminal_frauds_{days}d"] for days in (1, 7, 30)] == [1, 2, 3]
    shares = [at_a[f"terminal_fraud_share_{days}d"] for days in (1, 7, 30)]
    assert shares == pytest.approx([1, 2 / 4, 3 / 5])
    assert (at_a["terminal_first_fraud"], at_a["terminal_last_fraud"]) == (8 + 25, 8)
    assert [at_b[name] for name in TERMINAL_FEATURES[:6]] == [0] * 6
    assert np.isnan([at_b["terminal_first_fraud"], at_b["terminal_last_fraud"]]).all()


def test_a_label_counts_from_the_next_hour_and_a_withdrawn_one_until_then() -> None:
    asked = [("a", 9 + minutes / 1440) for minutes in (6 * 60 + 50, 7 * 60 + 9, 7 * 60 + 10, 10 * 60 + 9, 10 * 60 + 10)]
    known = labels(("t0", True, 9 + 6.5 / 24), ("t0", False, 9 + 9.5 / 24), ("t1", True, 0.5))
    found = as_of(paid(("a", 0.0), ("z", 0.0), *asked), known)["terminal_frauds_7d"]
    assert found.tolist()[2:] == [0, 0, 1, 1, 0]


def test_known_frauds_of_an_ordinary_amount_are_counted_apart() -> None:
    """At most twice the mean of what was paid; one without an amount is ordinary, and counts in no mean."""
    amounts = [10.0, 8.0, 36.0, 36.01, None, 10.0]
    transactions = paid(*(("a", 0.5 + hours) for hours in range(5)), ("a", 12.5), amounts=amounts)
    for unusual, expected in (("t2", 2), ("t3", 1)):
        known = labels(("t4", True, 5.0), (unusual, True, 5.0))
        found = as_of(transactions.drop(list({"t2", "t3"} - {unusual})), known).iloc[-1]
        assert found["terminal_frauds_30d"] == 2
        assert found["terminal_ordinary_frauds_30d"] == expected
        assert found["terminal_ordinary_fraud_share_30d"] == expected / 4


def test_the_latest_hours_are_those_with_a_transaction() -> None:
    """However far apart, within the longest window; a busy hour is one."""
    days = [-28.0, -10.0, 1.5, 1.5, 1.51, 5.0]
    found = as_of(paid(*(("a", day) for day in days), ("a", 12.5)), labels(("t1", True, 5.0), ("t2", True, 5.0)))
    assert found.iloc[-1]["terminal_fraud_share_latest_1"] == 0
    assert found.iloc[-1]["terminal_fraud_share_latest_3"] == 2 / 5
    nobody = as_of(paid(("b", 1.5), ("a", 12.5)), labels(("t0", True, 5.0))).iloc[-1]
    assert nobody["terminal_fraud_share_latest_3"] == 0


def test_without_a_terminal_or_any_known_fraud_all_is_unknown() -> None:
    transactions = paid(("a", 0.5), (None, 9.5), ("a", 9.5))
    assert np.isnan(as_of(transactions, labels()).to_numpy()).all()
    nowhere = as_of(paid((None, 0.5), (None, 9.5)), labels(("t0", True, 1.0)))
    assert np.isnan(nowhere.to_numpy()).all()
    found = as_of(transactions, labels(("t0", True, 1.0)))
    assert found.isna().all(axis=1).tolist() == [True, True, False]


def test_what_reaches_back_before_all_that_is_kept_is_unknown() -> None:
    transactions = paid(*(("a", float(day)) for day in range(40, 60)), ("a", 70.5))
    facts = facts_of(transactions, labels(("t0", True, 41.0), ("t17", True, 58.0)))
    (now,) = hour_of(milliseconds(transactions["event_time"])[-1:])
    kept = TerminalFacts(facts.terminals, facts.hours, facts.frauds, now - 24 * HORIZON_DAYS)
    lacking = TerminalFacts(facts.terminals, facts.hours, facts.frauds, now - 24 * HORIZON_DAYS + 1)
    assert kept.features(transactions.iloc[[-1]])[0, 1] == 1
    assert np.isnan(lacking.features(transactions.iloc[[-1]])).all()


def test_it_can_be_sent_to_workers() -> None:
    transactions = paid(("a", 0.5), ("a", 9.5))
    facts = facts_of(transactions, labels(("t0", True, 1.0)))
    copy = pickle.loads(pickle.dumps(facts))  # noqa: S301 (our own bytes)
    assert copy.features(transactions).tobytes() == facts.features(transactions).tobytes()


@given(seed=st.integers(0, 2**32), chosen=st.integers(0, 59))
@settings(max_examples=40)
def test_nothing_of_the_future_changes_the_past(seed: int, chosen: int) -> None:
    """Neither later transactions, nor labels of the transaction's own hour and after."""
    random = Random(seed)
    transactions = paid(*((random.choice("ab"), random.uniform(0, 25)) for _ in range(60)))
    known = labels(*((f"t{random.randrange(60)}", random.random() < 0.7, random.uniform(0, 25)) for _ in range(60)))
    before = as_of(transactions, known).iloc[chosen]
    began = (transactions["event_time"].iloc[chosen] - SETTLING).floor("h")
    kept = transactions[(transactions["event_time"] < began) | (transactions.index == f"t{chosen}")]
    late = known["labelled_at"] >= began
    for others, verdicts in ((kept, known[~late]), (transactions, known.assign(is_fraud=known["is_fraud"] ^ late))):
        after = as_of(others, verdicts)
        pd.testing.assert_series_equal(after.iloc[others.index.get_loc(f"t{chosen}")], before)


def test_an_imported_past_is_kept_for_as_long_as_it_counts() -> None:
    assert RetentionSettings.past_days == TERMINAL_DAYS + 1
