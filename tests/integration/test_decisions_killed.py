"""Verdicts and changes of the policy, killed at each step of their way: none is lost, none counts twice."""

from collections import Counter
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from fraudstream.failpoints import IN_VERDICTS, Failpoint
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.messages.contracts import Topic
from fraudstream.policy import lists, versions
from fraudstream.policy.changes import Desk
from fraudstream.policy.document import Kind, Policy
from fraudstream.policy.lists import Entry
from fraudstream.settings import Settings
from tests.commands import run_here, run_until
from tests.desk import add_alerts

Postgres = psycopg.Connection[tuple[object, ...]]
DECIDE = ("tests.deciding", "t1")
SEND = ("fraudstream.verdicts.publish", "--wait=0")
VERDICTS = 3

pytestmark = pytest.mark.usefixtures("empty_tables")


def succeed(module: str, *arguments: str) -> None:
    done = run_here(module, *arguments)
    assert done.returncode == 0, done.stderr


def changed(writer: Postgres) -> list[tuple[object, ...]]:
    return writer.execute("SELECT who, what, subject FROM fraud.audit_log ORDER BY audit_id").fetchall()


def test_a_verdict_that_was_killed_at_the_desk_can_be_given_again(writer: Postgres) -> None:
    add_alerts(writer, 1)
    run_until(f"{Failpoint.BEFORE_VERDICT_COMMIT}=kill", *DECIDE)
    for table in ("analyst_verdicts", "alert_claims"):
        assert writer.execute(f"SELECT FROM fraud.{table}").fetchall() == []
    succeed(*DECIDE)
    assert writer.execute("SELECT revision, decided_by FROM fraud.analyst_verdicts").fetchall() == [(1, "alice")]


@pytest.mark.parametrize("point", sorted(IN_VERDICTS - {Failpoint.BEFORE_VERDICT_COMMIT}))
def test_verdicts_whose_sender_was_killed_are_all_sent_as_the_same_labels(
    settings: Settings, writer: Postgres, owner: Postgres, point: Failpoint
) -> None:
    add_alerts(writer, VERDICTS)
    owner.execute(
        "INSERT INTO fraud.analyst_verdicts (transaction_id, revision, verdict, reason_code, decided_by, publish_after)"
        " SELECT transaction_id, 1, 'fraud', 'not_given', 'alice', now() FROM fraud.fraud_alerts"
    )
    before = kafka_offsets.latest(settings.kafka, [Topic.TRANSACTION_LABELS], 30)
    run_until(f"{point}=kill", *SEND)
    assert writer.execute("SELECT count(published_at) FROM fraud.analyst_verdicts").fetchone() == (0,)
    succeed(*SEND)
    assert writer.execute("SELECT count(published_at) FROM fraud.analyst_verdicts").fetchone() == (VERDICTS,)
    sent = labels(settings, before)
    assert sorted(key for key, _ in sent) == [b"t1", b"t2", b"t3"], "each label is one, to the byte"
    if point in {Failpoint.AFTER_VERDICT_SEND, Failpoint.BEFORE_VERDICT_NOTE}:
        assert set(sent.values()) == {2}, "Kafka had all of them before the kill"
    elif point is Failpoint.BEFORE_VERDICT_SEND:
        assert set(sent.values()) == {1}
    succeed(*SEND)
    assert labels(settings, before) == sent, "what is noted as sent isn't sent again"


def labels(settings: Settings, since: kafka_offsets.Offsets) -> Counter[tuple[bytes, bytes]]:
    """The labels that came to Kafka since then, and how often each."""
    ends = kafka_offsets.latest(settings.kafka, [Topic.TRANSACTION_LABELS], 30)
    consumer = Consumer(settings.kafka.consumer_config("test-killed"))
    consumer.assign([TopicPartition(topic, partition, offset) for (topic, partition), offset in since.items()])
    left = sum(ends.values()) - sum(since.values())
    found = consumer.consume(left, timeout=60)
    consumer.close()
    assert len(found) == left
    return Counter((message.key(), message.value()) for message in found)


@pytest.mark.parametrize("point", [Failpoint.AFTER_POLICY_INSERT, Failpoint.BEFORE_POLICY_COMMIT])
def test_a_version_that_was_killed_is_not_there_and_can_be_saved_again(
    writer: Postgres, tmp_path: Path, point: Failpoint
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("random_review_share = 0.01\n")
    apply = ("model.policy.policy_cli", "apply", str(file), "--by", "ann")
    run_until(f"{point}=kill", *apply)
    assert (versions.newest(writer).version, changed(writer)) == (0, [])
    succeed(*apply)
    assert versions.at_work(writer).policy == Policy(random_review_share=0.01)
    assert changed(writer) == [("ann", "policy saved", "policy 1")]


def test_an_approval_that_was_killed_can_be_given_again(writer: Postgres) -> None:
    desk = Desk(writer, {}, "ann")
    desk.apply(Policy(approvals_needed=1), "four eyes")
    desk.apply(Policy(), "two eyes")
    approve = ("model.policy.policy_cli", "approve", "2", "--by", "bob")
    run_until(f"{Failpoint.IN_POLICY_APPROVAL}=kill", *approve)
    assert (versions.at_work(writer).version, len(changed(writer))) == (1, 2)
    succeed(*approve)
    assert versions.at_work(writer).version == 2
    assert changed(writer)[2:] == [("bob", "policy approved", "policy 2")]


def test_a_list_whose_change_was_killed_holds_what_it_held(writer: Postgres) -> None:
    lists.create(writer, "blocked", Kind.DEVICE, who="ann")
    lists.add(writer, "blocked", [Entry("d-1", "before")], who="ann")
    add = ("model.policy.lists_cli", "add", "blocked", "d-1", "d-2", "--reason", "after", "--by", "bob")
    run_until(f"{Failpoint.IN_POLICY_LIST}=kill", *add)
    assert [(entry.value, entry.reason) for entry in lists.entries(writer, "blocked")] == [("d-1", "before")]
    assert len(changed(writer)) == 2
    succeed(*add)
    assert {entry.value: entry.reason for entry in lists.entries(writer, "blocked")} == {"d-1": "after", "d-2": "after"}
    assert changed(writer)[2:] == [("bob", "list entries added", "list blocked")]
