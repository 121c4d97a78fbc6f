"""The policy on a real Postgres: versions, lists, audit, and what the sink makes of decisions."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pyarrow as pa
import pytest
from psycopg.errors import InsufficientPrivilege
from pyspark.sql.pandas.types import to_arrow_schema

from fraudstream.ledger import comparison
from fraudstream.messages.contracts import ScoredTransaction, Topic
from fraudstream.policy import lists, reading, versions
from fraudstream.policy.changes import Desk
from fraudstream.policy.columns import columns_with
from fraudstream.policy.document import Action, Kind, Policy, Rule, Snooze, State, Thresholds
from fraudstream.policy.errors import ChangedMeanwhileError, ConditionError, PolicyError
from fraudstream.policy.lists import Entry
from fraudstream.policy.live import Match
from fraudstream.policy.reading import PolicyAtWork
from fraudstream.settings import Settings
from fraudstream.storage.connect import connect
from model.features.columns import FEATURE_NAMES
from spark_jobs import sink
from spark_jobs.bucket import Kind as Fate
from spark_jobs.checkpoint import OffsetRange
from spark_jobs.fencing import Driver
from spark_jobs.publisher import _messages
from spark_jobs.schemas import SCORED
from tests.faults import rollups
from tests.integration.test_sink import features_of
from tests.messages import NOW, as_bytes, label, transaction

COLUMNS = columns_with(FEATURE_NAMES)
INGEST_MS = int(NOW.timestamp() * 1000)
Postgres = psycopg.Connection[Any]

pytestmark = pytest.mark.usefixtures("empty_tables")


@pytest.fixture
def desk(writer: Postgres) -> Desk:
    lists.create(writer, "blocked", Kind.DEVICE, who="ann")
    return Desk(writer, COLUMNS, "ann")


def rule(name: str = "big", condition: str = "amount > 500", **more: Any) -> Rule:
    return Rule(name=name, condition=condition, action=Action.BLOCK, **more)


def audited(writer: Postgres) -> list[tuple[str, str, str]]:
    return writer.execute("SELECT who, what, subject FROM fraud.audit_log ORDER BY audit_id").fetchall()


def test_a_rule_lives_from_draft_over_shadow_to_live_and_ends(desk: Desk, writer: Postgres) -> None:
    made = desk.add_rule(rule())
    assert (made.version, made.is_approved, made.policy.rule("big").state) == (1, True, State.DRAFT)
    states = [desk.enable_rule("big").policy.rule("big").state for _ in range(2)]
    assert states == [State.SHADOW, State.LIVE]
    with pytest.raises(PolicyError, match="rule big is live already"):
        desk.enable_rule("big")
    assert desk.retire_rule("big").policy.rule("big").state is State.RETIRED
    assert versions.at_work(writer).version == 4
    assert [found.comment for found in versions.history(writer)] == [
        *("big: retired", "big: live", "big: shadow", "add rule big")
    ]
    assert audited(writer)[1:] == [("ann", "policy saved", f"policy {number}") for number in range(1, 5)]


def test_what_is_refused_saves_nothing(desk: Desk, writer: Postgres) -> None:
    desk.add_rule(rule())
    for bad in (rule("a", "amunt > 1"), rule("b", "amount + 1"), rule("c", "pg_sleep(1) IS NULL")):
        with pytest.raises(ConditionError):
            desk.add_rule(bad)
    with pytest.raises(ConditionError, match="rule listed: there is no list 'gone'"):
        desk.apply(Policy(rules=[rule("listed", "device_id IN list('gone')")]), "a file")
    with pytest.raises(PolicyError, match="there is a rule 'big' already"):
        desk.add_rule(rule())
    with pytest.raises(PolicyError, match="there is no rule 'small'; there are: big"):
        desk.retire_rule("small")
    assert versions.newest(writer).version == 1


def test_two_changes_from_one_version_are_not_both_saved(desk: Desk, settings: Settings) -> None:
    desk.add_rule(rule())
    with connect(settings, settings.postgres.writer, autocommit=True) as other:
        versions.save(other, Policy(), author="bob", comment="meanwhile", based_on=1)
    with pytest.raises(ChangedMeanwhileError, match="version 2 of the policy was saved meanwhile"):
        desk.apply(Policy(random_review_share=0.5), "late", based_on=1)


def test_a_version_waits_for_another_person_where_the_policy_at_work_says_so(desk: Desk, writer: Postgres) -> None:
    desk.apply(Policy(approvals_needed=1), "four eyes")
    waiting = desk.apply(Policy(thresholds=Thresholds(block=0.9)), "alone")  # which would drop the need itself
    assert (waiting.is_approved, versions.at_work(writer).version) == (False, 1)
    assert reading.newest(writer, COLUMNS, PolicyAtWork()).version == 1
    with pytest.raises(PolicyError, match="another person has to approve it"):
        versions.approve(writer, waiting.version, "ann")
    assert versions.approve(writer, waiting.version, "bob").approver == "bob"
    assert reading.newest(writer, COLUMNS, PolicyAtWork()).version == 2
    with pytest.raises(PolicyError, match="approved already"):
        versions.approve(writer, 2, "bob")


def test_a_rollback_is_a_new_version_that_says_so(desk: Desk, writer: Postgres) -> None:
    first = desk.apply(Policy(random_review_share=0.01), "first")
    desk.apply(Policy(), "second")
    back = versions.roll_back(writer, first.version, author="bob", comment="")
    assert (back.version, back.rolled_back_to, back.policy, back.author) == (3, 1, first.policy, "bob")
    with pytest.raises(PolicyError, match="there is no policy version 9; the newest is 3"):
        versions.roll_back(writer, 9, author="bob", comment="")


def test_a_version_and_the_audit_log_can_not_be_changed(desk: Desk, writer: Postgres) -> None:
    desk.add_rule(rule())
    for statement in (
        "UPDATE fraud.policy_versions SET document = '{}'",
        "DELETE FROM fraud.policy_versions",
        "UPDATE fraud.audit_log SET who = 'nobody'",
        "DELETE FROM fraud.audit_log",
        "UPDATE fraud.list_entries SET value = 'x'",
    ):
        with pytest.raises(InsufficientPrivilege):
            writer.execute(statement)


def test_entries_are_added_replaced_removed_and_expire(desk: Desk, writer: Postgres) -> None:
    past, soon = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    entries = [Entry("d-1", "first"), Entry("d-2", "", soon), Entry("d-3", "", past)]
    assert lists.add(writer, "blocked", entries, who="ann") == 3
    lists.add(writer, "blocked", [Entry("d-1", "again")], who="bob")
    assert [(e.value, e.reason, e.added_by) for e in lists.entries(writer, "blocked")] == [
        *(("d-1", "again", "bob"), ("d-2", "", "ann"))
    ]
    assert lists.remove(writer, "blocked", ["d-1"], who="bob") == 1
    with pytest.raises(PolicyError, match="has no active entry 'd-1'"):
        lists.remove(writer, "blocked", ["d-1"], who="bob")
    assert [(s.name, s.kind, s.active) for s in lists.summaries(writer)] == [("blocked", Kind.DEVICE, 1)]
    kept = writer.execute("SELECT count(*), count(removed_at) FROM fraud.list_entries").fetchone()
    assert kept == (4, 2)
    with pytest.raises(PolicyError, match="there is no list 'x'; there are: blocked"):
        lists.add(writer, "x", [Entry("d")], who="ann")
    assert audited(writer) == [
        ("ann", "list created", "list blocked"),
        ("ann", "list entries added", "list blocked"),
        ("bob", "list entries added", "list blocked"),
        ("bob", "list entries removed", "list blocked"),
    ]


def test_the_driver_reads_again_only_what_changed(desk: Desk, writer: Postgres) -> None:
    held = reading.newest(writer, COLUMNS, PolicyAtWork())
    assert (held.live, held.version) == (None, None)
    assert reading.newest(writer, COLUMNS, held) is held
    desk.add_rule(rule("listed", "device_id IN list('blocked')", state=State.LIVE))
    first = reading.newest(writer, COLUMNS, held)
    lists.add(writer, "blocked", [Entry("d-1")], who="ann")
    second = reading.newest(writer, COLUMNS, first)
    assert [dict(found.live.lists["blocked"]) for found in (first, second)] == [{}, {"d-1": float("inf")}]
    lists.create(writer, "other", Kind.CARD, who="ann")
    lists.add(writer, "other", [Entry("k-1")], who="ann")
    third = reading.newest(writer, COLUMNS, second)
    assert third.live is second.live  # no rule names that list: the workers need nothing new


def test_an_entry_that_commits_after_a_later_one_is_seen(desk: Desk, writer: Postgres, settings: Settings) -> None:
    """Each change of a list waits for the one before, so that no reader takes the newer one for all of them."""
    desk.add_rule(rule("listed", "device_id IN list('blocked')", state=State.LIVE))
    with connect(settings, settings.postgres.writer) as slow, connect(settings, settings.postgres.writer) as fast:
        lists.add(slow, "blocked", [Entry("d-slow")], who="ann")
        fast.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            lists.add(fast, "blocked", [Entry("d-fast")], who="bob")
        fast.rollback()
        slow.commit()
        lists.add(fast, "blocked", [Entry("d-fast")], who="bob")
        fast.commit()
    found = reading.newest(writer, COLUMNS, PolicyAtWork())
    assert set(found.live.lists["blocked"]) == {"d-slow", "d-fast"}


def test_a_document_that_can_not_be_read_leaves_the_one_before_at_work(desk: Desk, writer: Postgres) -> None:
    desk.add_rule(rule(state=State.LIVE))
    held = reading.newest(writer, COLUMNS, PolicyAtWork())
    writer.execute(
        "INSERT INTO fraud.policy_versions (policy_version, author, approved_at, comment, document) "
        "VALUES (2, 'x', now(), '', '{\"rulez\": 1}')"
    )
    found = reading.newest(writer, COLUMNS, held)
    assert (found.live, found.version) == (held.live, 1)
    assert "policy version 2 is not at work" in found.problem
    after_restart = reading.newest(writer, COLUMNS, PolicyAtWork())
    assert (after_restart.live, after_restart.problem) == (held.live, found.problem)


def scored(offset: int, *, is_fraud: bool = False, **decided: Any) -> dict[str, Any]:
    """A row of schema SCORED; `matches` are the rules that matched."""
    matches = decided.pop("matches", None)
    names = {"transaction_id": f"tx-{offset}", "session_id": f"s-{offset}", "customer_id": f"c-{offset}"}
    known = {
        "kind": Fate.TRANSACTION.value,
        "topic": Topic.TRANSACTIONS.value,
        "partition": 0,
        "offset": offset,
        "ingest_ms": INGEST_MS,
        "late": False,
        "key": b"c-1",
        "value": as_bytes(transaction(amount=10.0, **names)),
        "exchange_rate": 1.0,
        "messages": 1,
        "fraud_score": 0.9 if is_fraud else 0.1,
        "is_fraud": is_fraud,
        "reasons": b"[]",
        "features": features_of(offset),
        "rule_matches": msgspec.json.encode(matches) if matches else None,
    }
    return dict.fromkeys(SCORED.fieldNames()) | known | decided


def commit(writer: Postgres, driver: Driver, rows: Sequence[dict[str, Any]], policy: PolicyAtWork) -> None:
    ranges = [OffsetRange(Topic.TRANSACTIONS.value, 0, 0, len(rows))]
    batch = sink.Batch(0, ranges, "m-1", 0.5, 1, NOW.timestamp(), policy=policy)
    assert sink.commit(writer, driver, batch, pa.Table.from_pylist(list(rows), schema=to_arrow_schema(SCORED)))


def test_rows_alerts_rollups_sales_and_messages_follow_the_decision(
    desk: Desk, writer: Postgres, driver: Driver
) -> None:
    desk.add_rule(rule("fails", state=State.LIVE))
    policy = reading.newest(writer, COLUMNS, PolicyAtWork())
    live, shadow = Match("big", True, True), Match("tried", False, True)
    rows = [
        scored(0, decision="allow"),
        scored(1, is_fraud=True, decision="review"),
        scored(2, is_fraud=True, decision="allow", matches=[Match("trusted", True, True)]),  # a rule is stronger
        scored(3, decision="block", matches=[live, shadow]),
        scored(4, decision="review", review_probability=0.01),  # by chance
        scored(5, decision="allow", matches=[shadow], rule_failures=b'{"fails": "Conversion Error"}'),
        scored(6, is_fraud=True),  # as a driver of before wrote it
    ]
    commit(writer, driver, rows, policy)
    stored = writer.execute(
        "SELECT decision, policy_version, matched_rules, counted_in_sales FROM fraud.scored_transactions"
    )
    assert sorted(stored.fetchall(), key=str) == sorted(
        [
            ("allow", 1, [], True),
            ("review", 1, [], False),
            ("allow", 1, ["trusted"], True),
            ("block", 1, ["big"], False),
            ("review", 1, [], True),  # nobody suspects it: its sale counts
            ("allow", 1, [], True),
            (None, 1, [], False),
        ],
        key=str,
    )
    columns = "transaction_id, decision, matched_rules, review_probability"
    alerts = writer.execute(f"SELECT {columns} FROM fraud.fraud_alerts")
    assert sorted(alerts.fetchall()) == [
        ("tx-1", "review", [], None),
        ("tx-3", "block", ["big"], None),
        ("tx-4", "review", [], 0.01),
        ("tx-6", None, [], None),
    ]
    assert writer.execute("SELECT transactions, flagged FROM fraud.fraud_counts").fetchall() == [(7, 3)]
    assert writer.execute("SELECT sum(flagged) FROM fraud.fraud_locations").fetchone() == (3,)
    assert writer.execute("SELECT flagged FROM fraud.stream_batches").fetchone() == (3,)
    counted = writer.execute("SELECT rule, state, matched, changed, amount FROM fraud.rule_counts ORDER BY 1, 2")
    assert counted.fetchall() == [
        ("big", "live", 1, 1, 10),
        ("tried", "shadow", 2, 2, 20),
        ("trusted", "live", 1, 1, 10),
    ]
    assert writer.execute("SELECT rule, error FROM fraud.rule_failures").fetchall() == [("fails", "Conversion Error")]
    sent = [message for message in _messages(writer, 0) if message.topic == Topic.FRAUD_ALERTS]
    alerts = {m.key: msgspec.json.decode(m.value, type=ScoredTransaction) for m in sent}
    assert set(alerts) == {b"tx-1", b"tx-3", b"tx-4", b"tx-6"}
    found = alerts[b"tx-3"]
    assert (found.decision, found.policy_version, found.matched_rules, found.is_fraud) == ("block", 1, ["big"], False)
    assert list(rollups.differences(writer)) == []
    assert comparison.hour(writer, NOW.replace(minute=0, second=0))[1] == []
    assert list(comparison.batches(writer, 0, 1)) == []


def test_a_label_wins_over_the_decision(desk: Desk, writer: Postgres, driver: Driver) -> None:
    labelled = {
        "kind": Fate.LABEL.value,
        "topic": Topic.TRANSACTION_LABELS.value,
        "partition": 0,
        "offset": 0,
        "ingest_ms": INGEST_MS,
        "messages": 1,
        "value": as_bytes(label(transaction_id="tx-0", is_fraud=False)),
    }
    row = scored(0, decision="block", matches=[Match("big", True, True)])
    ranges = [OffsetRange(topic.value, 0, 0, 1) for topic in (Topic.TRANSACTIONS, Topic.TRANSACTION_LABELS)]
    rows = [row, dict.fromkeys(SCORED.fieldNames()) | labelled]
    batch = sink.Batch(0, ranges, "m-1", 0.5, 1, NOW.timestamp())
    sink.commit(writer, driver, batch, pa.Table.from_pylist(rows, schema=to_arrow_schema(SCORED)))
    assert writer.execute("SELECT status FROM fraud.fraud_alerts").fetchone() == ("dismissed",)
    assert writer.execute("SELECT counted_in_sales FROM fraud.scored_transactions").fetchone() == (True,)
    assert list(rollups.differences(writer)) == []


def test_a_rule_that_was_switched_off_is_off_until_it_is_enabled_again(desk: Desk, writer: Postgres) -> None:
    desk.add_rule(rule(state=State.LIVE))
    desk.snooze_rule("big", Snooze(kind=Kind.CARD, value="k-1", until=datetime.now(UTC) + timedelta(days=1)))
    writer.execute("INSERT INTO fraud.rule_failures VALUES ('big', 'amount > 500', 1, 'an error')")
    off = reading.newest(writer, COLUMNS, PolicyAtWork())
    assert (off.live.rules, off.problem) == ((), "rule big is switched off: an error")
    assert desk.enable_rule("big").version == 2  # nothing of the policy changed
    again = reading.newest(writer, COLUMNS, off)
    assert ([found.name for found in again.live.rules], again.problem) == (["big"], "")
    assert audited(writer)[-1] == ("ann", "rule failure forgotten", "rule big")
