"""Backtests of rules on past transactions, and policies kept in files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fraudstream.archive.lake import ArchiveError
from fraudstream.policy import backtest, files
from fraudstream.policy.backtest import Question, Report
from fraudstream.policy.columns import columns_with
from fraudstream.policy.conditions import Compiled, compile_condition
from fraudstream.policy.document import Action, Kind, Policy, Rule, Snooze, State, Thresholds
from fraudstream.policy.errors import ConditionError, PolicyError
from fraudstream.settings import Settings
from model.features.columns import FEATURE_NAMES
from model.policy.past import read_archive, read_own
from tests.archived import Archive

COLUMNS = columns_with(FEATURE_NAMES)
BEGIN = datetime(2026, 3, 1)
DAY = timedelta(days=1)


def compiled(condition: str) -> Compiled:
    return compile_condition(condition, COLUMNS, {"blocked": Kind.DEVICE})


def past() -> pa.Table:
    """A transaction a day for ten days."""
    return pa.table(
        {
            "transaction_id": [f"t-{day}" for day in range(10)],
            "event_time": pa.array([BEGIN + day * DAY for day in range(10)], pa.timestamp("us")),
            "money": [10.0 * (day + 1) for day in range(10)],
            "amount": pa.array([10.0 * (day + 1) for day in range(10)], pa.float32()),
            "device_id": ["d-1", "d-2"] * 5,
            "is_fraud": [day == 9 for day in range(10)],
            "fraud": [None, None, None, None, None, True, True, False, None, True],
        }
    )


def entries(*rows: tuple[str, datetime, datetime | None]) -> pa.Table:
    return backtest.entries_table([("blocked", *row) for row in rows])


def asked(condition: str, mature: timedelta = 5 * DAY, **more: object) -> Report:
    question = Question(compiled(condition), Action.REVIEW, mature, **more)
    return backtest.run(past(), entries(("d-1", BEGIN + 3 * DAY, BEGIN + 7 * DAY)), question)


def test_a_rule_is_judged_by_what_is_old_enough() -> None:
    found = asked("amount >= 40")  # days 3 to 9
    assert (found.transactions, found.days, found.matched, found.new) == (10, 9, 7, 6)
    assert found.alerts_per_day == pytest.approx(7 / 9)
    # Days 3 and 4 are old enough; 5, 6 and 9 are known as frauds already, 7 and 8 aren't.
    assert (found.judged, found.frauds, found.precision, found.judged_share) == (2, 0, 0.0, 2 / 7)
    assert (found.immature, found.immature_frauds, found.all_frauds, found.recall) == (5, 3, 3, 1.0)
    assert (found.fraud_money, found.honest_money) == (0, 40 + 50)
    assert [hit["transaction_id"] for hit in found.hits] == [f"t-{day}" for day in range(9, 2, -1)]
    assert found.misses == []
    text = backtest.as_text(found)
    assert "precision 0.0% (0 frauds of 2 judged; 28.6% of the matched" in text
    assert "too new to be judged: 5, of which 3 are known frauds" in text
    assert '"t-9"' in backtest.as_json(found)


def test_precision_counts_frauds_and_the_honest_of_one_age() -> None:
    found = asked("amount >= 40", mature=2 * DAY)  # days 3 to 7 are old enough, of which 5 and 6 are frauds
    assert (found.judged, found.frauds, found.precision) == (5, 2, 0.4)
    assert (found.immature, found.immature_frauds, found.recall) == (2, 1, 1.0)
    assert (found.fraud_money, found.honest_money) == (60 + 70, 40 + 50 + 80)


def test_lists_are_as_of_then() -> None:
    found = asked("device_id IN list('blocked')")
    assert [hit["transaction_id"] for hit in found.hits] == ["t-6", "t-4"]  # not t-0, t-2 and t-8
    assert [miss["transaction_id"] for miss in found.misses] == ["t-5"]  # t-9 the model flagged


def test_what_the_live_rules_matched_too_is_told() -> None:
    live = {"big": compiled("amount > 80"), "listed": compiled("device_id IN list('blocked')")}
    found = asked("amount >= 60", live=live)
    assert found.overlap == {"big": 2, "listed": 1}
    assert (found.matched, found.new) == (5, 2)  # t-5 and t-7


def test_of_nothing_nothing_is_said() -> None:
    found = asked("amount > 10000")
    assert (found.matched, found.precision, found.recall, found.judged_share) == (0, None, 0.0, None)
    assert "precision unknown" in backtest.as_text(found)
    empty = backtest.run(past().slice(0, 0), entries(), Question(compiled("amount > 1"), Action.BLOCK, DAY))
    assert (empty.transactions, empty.days, empty.alerts_per_day) == (0, 0, 0)


def test_a_condition_that_fails_on_the_past_is_told() -> None:
    with pytest.raises(ConditionError, match=r"the backtest failed: .*Could not convert string 'd-1'"):
        asked("CAST(device_id AS INT) = 1")


def test_the_archive_is_read_with_what_is_missing_as_unknown(tmp_path: Path) -> None:
    zone = pa.timestamp("us", "UTC")
    rows = pa.table(
        {
            "transaction_id": ["t-0", "t-1", "t-2"],
            "event_time": pa.array([datetime(2026, 3, day, 23, 30, tzinfo=UTC) for day in (1, 2, 3)], zone),
            "shop_amount": [1.0, 2.0, None],
            "is_fraud": [False, True, False],
            "fraud_score": [0.1, 0.9, 0.2],
            "shipping_latitude": [47.37, 0.0, -1.4],
            "shipping_longitude": [8.54, 0.0, 2.3],
            "f_amount": pa.array([1.0, np.nan, 3.0], pa.float32()),
        }
    )
    folder = tmp_path / "event_day=2026-03-01"
    folder.mkdir()
    pq.write_table(rows, folder / "part.parquet")
    labels = pa.table({"transaction_id": ["t-1"], "fraud": [True]})
    table = read_archive(tmp_path, {"amount", "score", "address_cell"}, labels, 2)
    assert table.sort_by("transaction_id").to_pylist() == [
        {
            "transaction_id": f"t-{n}",
            "event_time": datetime(2026, 3, n + 1, 23, 30),
            "money": [1.0, 2.0, None][n],
            "is_fraud": n == 1,
            "fraud": True if n == 1 else None,
            "amount": [1.0, None, 3.0][n],
            "score": [0.1, 0.9, 0.2][n],
            "address_cell": ["473700:85400", None, "-14000:23000"][n],
        }
        for n in range(3)
    ]
    assert read_archive(tmp_path, set(), labels, 1).num_rows == 2
    with pytest.raises(PolicyError, match="has no column device_id, f_new_device"):
        read_archive(tmp_path, {"new_device", "device_id"}, labels, 1)
    with pytest.raises(PolicyError, match="can't be read"):
        read_archive(tmp_path / "none", set(), labels, 1)


def test_the_platform_s_own_archive_is_read_with_its_labels(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    times = [datetime(2026, 3, day, 23, 30, tzinfo=UTC) for day in (1, 2, 3)]
    features = np.zeros((3, len(FEATURE_NAMES)), np.float32)
    features[:, FEATURE_NAMES.index("amount")] = [1.0, np.nan, 3.0]
    archive.transactions(
        times, features, [0.1, 0.9, 0.2], shipping_latitude=[47.37, 0.0, -1.4], shipping_longitude=[8.54, 0.0, 2.3]
    )
    archive.labels(("tx-0", times[2], True), ("tx-1", times[2], True))
    newer = pa.table({"transaction_id": ["tx-1"], "fraud": [False]})
    table = read_own(archive.settings, {"amount", "score", "address_cell", "customer_id"}, newer, 30)
    assert table.sort_by("transaction_id").to_pylist() == [
        {
            "transaction_id": f"tx-{n}",
            "event_time": datetime(2026, 3, n + 1, 23, 30),
            "money": 10.0,
            "is_fraud": n == 1,
            "fraud": [True, False, None][n],
            "amount": [1.0, None, 3.0][n],
            "score": pytest.approx([0.1, 0.9, 0.2][n]),
            "address_cell": ["473700:85400", None, "-14000:23000"][n],
            "customer_id": f"c-tx-{n}",
        }
        for n in range(3)
    ]
    assert read_own(archive.settings, set(), newer, 1).num_rows == 1
    with pytest.raises(ArchiveError, match="nothing is archived yet"):
        read_own(Settings(var_dir=tmp_path / "none"), set(), newer, 1)


TEXTS = st.text(max_size=30).filter(lambda text: not any(0xD800 <= ord(letter) <= 0xDFFF for letter in text))
TIMES = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9000, 1, 1), timezones=st.just(UTC))
SNOOZES = st.builds(Snooze, kind=st.sampled_from([Kind.CUSTOMER, Kind.DEVICE, Kind.CARD]), value=TEXTS, until=TIMES)
RULES = st.builds(
    Rule,
    name=st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True),
    condition=TEXTS,
    action=st.sampled_from(Action),
    state=st.sampled_from(State),
    expires_at=st.none() | TIMES,
    snoozes=st.lists(SNOOZES, max_size=2),
)
POLICIES = st.builds(
    Policy,
    thresholds=st.builds(Thresholds, review=st.none() | st.floats(0, 0.5), block=st.none() | st.floats(0.5, 1)),
    rules=st.lists(RULES, max_size=3, unique_by=lambda rule: rule.name),
    random_review_share=st.floats(0, 1),
    approvals_needed=st.sampled_from([0, 1]),
)


@given(POLICIES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_policy_comes_back_from_a_file_as_it_was(tmp_path: Path, policy: Policy) -> None:
    for suffix in ("toml", "json"):
        path = tmp_path / f"policy.{suffix}"
        files.write(policy, path)
        assert files.read(path) == policy


def test_a_file_that_can_not_be_a_policy_is_named(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("[thresholds]\nreview = 'high'\n")
    with pytest.raises(PolicyError, match=r"policy.toml: the policy can't be used: Expected `float \| null`"):
        files.read(path)
    path.write_text("[[")
    with pytest.raises(PolicyError, match="can't be read"):
        files.read(path)
    with pytest.raises(PolicyError, match=r"neither a \.toml nor a \.json file"):
        files.read(tmp_path / "policy.yaml")
