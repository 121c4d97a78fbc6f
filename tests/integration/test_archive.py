"""The archive on real Kafka, Postgres and Delta tables: what was committed is archived, once, whatever is killed."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from confluent_kafka import Message, Producer

from fraudstream.archive import archiving, lake, reading, topic
from fraudstream.archive.lake import FEATURE_PREFIX, ArchiveError, Table
from fraudstream.archive.reading import Period
from fraudstream.failpoints import IN_ARCHIVE, IN_RESCORE, Failpoint
from fraudstream.files import delete
from fraudstream.ledger.differences import acknowledge, open_differences
from fraudstream.local.backup import DUMP, back_up, replace_schema, restore_archive
from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.messages.features import decode_features, feature_set, unpack
from fraudstream.policy import versions
from fraudstream.policy.document import Action, Policy, Rule, State
from fraudstream.settings import ENV_PREFIX, Settings
from fraudstream.storage import migrate, roles
from model.features.columns import SERVED_COLUMNS
from model.health import breaches
from model.health.figure import Figure
from model.health.quality import AGES
from model.serving.registry import ensure_pretrained
from spark_jobs import ledger, sink
from spark_jobs.fencing import Driver
from spark_jobs.publisher import Publisher, publish_left_over
from tests.commands import run_here, run_until
from tests.emptying import expire
from tests.integration.test_sink import batch, become_driver, commit, one, scored
from tests.messages import NOW, as_bytes, label

Postgres = psycopg.Connection[Any]
AROUND = Period(NOW - timedelta(hours=1), NOW + timedelta(hours=1))

pytestmark = pytest.mark.usefixtures("empty_tables", "empty_archive")


@pytest.fixture
def empty_archive(settings: Settings) -> None:
    delete(settings.paths.archive)
    expire(settings, Topic.TRANSACTION_FEATURES, Topic.TRANSACTION_LABELS)


@pytest.fixture
def driver(settings: Settings, writer: Postgres) -> Driver:
    sink.prepare(writer)
    return become_driver(writer, settings)


@pytest.fixture
def publisher(settings: Settings) -> Publisher:
    return Publisher(settings.kafka, settings.watch.burst_alerts)


@pytest.fixture
def two_batches(writer: Postgres, driver: Driver, publisher: Publisher) -> Iterator[Postgres]:
    """Batches 0 and 1 with the transactions tx-0 to tx-6, published."""
    commit_and_publish(writer, driver, publisher, 0, range(3))
    commit_and_publish(writer, driver, publisher, 1, range(3, 7))
    yield writer


def commit_and_publish(
    writer: Postgres, driver: Driver, publisher: Publisher, batch_id: int, offsets: range, **fields: Any
) -> None:
    what = batch(batch_id, (Topic.TRANSACTIONS, offsets.start, offsets.stop))
    commit(writer, driver, what, [scored(offset, is_fraud=offset == 1, **fields) for offset in offsets])
    publisher.publish(writer, batch_id)


def published(settings: Settings) -> list[Message]:
    kafka, name = settings.kafka, Topic.TRANSACTION_FEATURES
    wanted = topic.bounds(kafka, name, topic.topic_id(kafka, name), {})
    return [message for chunk in topic.read(kafka, wanted, 1000) for message in chunk.messages]


def archived(settings: Settings) -> pa.Table:
    return reading.existing(settings).to_pyarrow_table().sort_by("transaction_id")


def send_label(settings: Settings, **fields: Any) -> None:
    producer = Producer(settings.kafka.client_config())
    producer.produce(Topic.TRANSACTION_LABELS, as_bytes(label(**fields)), fields["transaction_id"].encode())
    assert producer.flush(60) == 0


def test_a_batch_is_published_with_the_features_that_it_committed_and_the_same_bytes_again(
    settings: Settings, writer: Postgres, driver: Driver, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 2)), [scored(0), scored(1)])
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "mark_published", lambda *_: None)  # as if it was killed before
        publisher.publish(writer, 0)
    publish_left_over(writer, publisher)
    messages = sorted(published(settings), key=lambda message: message.key())
    assert [message.key() for message in messages] == [b"tx-0", b"tx-0", b"tx-1", b"tx-1"]
    assert messages[0].value() == messages[1].value()
    assert messages[2].value() == messages[3].value()
    record = decode_features(messages[2].value())
    assert (record.batch_id, record.model_version, record.fraud_score) == (0, "m-1", 0.1)
    assert record.feature_set == feature_set(SERVED_COLUMNS)
    width = len(SERVED_COLUMNS)
    np.testing.assert_array_equal(unpack([record.features], width), np.full((1, width), 1.5))
    assert one(writer, "SELECT count(*) FROM fraud.batch_features") == 0
    assert one(writer, "SELECT bool_and(with_features) FROM fraud.stream_batches") is True


def test_a_repeated_transaction_is_neither_published_nor_archived(
    settings: Settings, writer: Postgres, driver: Driver, publisher: Publisher
) -> None:
    commit_and_publish(writer, driver, publisher, 0, range(1))
    commit(writer, driver, batch(1, (Topic.TRANSACTIONS, 1, 3)), [scored(1, transaction_id="tx-0"), scored(2)])
    publisher.publish(writer, 1)
    assert archiving.archive(settings).found == []
    assert archived(settings)["transaction_id"].to_pylist() == ["tx-0", "tx-2"]


def test_what_was_scored_is_archived_with_its_fields_features_and_labels(
    settings: Settings, two_batches: Postgres
) -> None:
    send_label(settings, transaction_id="tx-1", is_fraud=True, labelled_at=iso_milliseconds(NOW))
    report = archiving.archive(settings)
    assert (report.appended, report.compared, report.found) == ({Table.TRANSACTIONS: 7, Table.LABELS: 1}, 2, [])
    with reading.read(settings, AROUND) as found:
        columns = "transaction_id, batch_id, customer_id, shop_amount, is_fraud, labelled_fraud, f_home_km"
        rows = found.order("transaction_id").project(columns).fetchall()
    assert rows[:3] == [
        ("tx-0", 0, "c-1", 42.5, False, None, 0.5),
        ("tx-1", 0, "c-1", 42.5, True, True, 1.5),
        ("tx-2", 0, "c-1", 42.5, False, None, 2.5),
    ]
    assert len(rows) == 7
    assert archiving.archive(settings).appended == {Table.TRANSACTIONS: 0, Table.LABELS: 0}
    assert len(archived(settings)) == 7
    assert {f"{FEATURE_PREFIX}{name}" for name in SERVED_COLUMNS} <= set(archived(settings).column_names)


def test_labels_count_from_when_they_were_known_and_the_newest_decides(
    settings: Settings, two_batches: Postgres
) -> None:
    send_label(settings, transaction_id="tx-1", is_fraud=False, labelled_at=iso_milliseconds(NOW + timedelta(days=2)))
    send_label(settings, transaction_id="tx-1", is_fraud=True, labelled_at=iso_milliseconds(NOW))
    archiving.archive(settings)
    labels = lake.open_table(settings, Table.LABELS).to_pyarrow_table().sort_by("kafka_offset")
    first_known = labels["known_at"][0].as_py()
    fraud = "transaction_id = 'tx-1'"
    for known_at, verdict in ((first_known - timedelta(seconds=1), None), (None, False)):
        with reading.read(settings, AROUND, known_at) as found:
            assert found.filter(fraud).project("labelled_fraud").fetchall() == [(verdict,)]


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ArchiveError, match="ends before it begins"):
        Period(NOW, NOW)


def test_a_batch_that_is_published_again_after_a_part_was_archived_is_archived_once(
    settings: Settings, writer: Postgres, driver: Driver, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_and_publish(writer, driver, publisher, 0, range(3))
    commit(writer, driver, batch(1, (Topic.TRANSACTIONS, 3, 7)), [scored(offset) for offset in range(3, 7)])
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "mark_published", lambda *_: None)
        publisher.publish(writer, 1)
    first = archiving.archive(settings)
    assert (first.appended[Table.TRANSACTIONS], first.compared) == (7, 1)  # batch 1 isn't known to be whole yet
    publish_left_over(writer, publisher)
    second = archiving.archive(settings)
    assert (second.appended[Table.TRANSACTIONS], second.compared, second.found) == (0, 1, [])
    assert archived(settings)["transaction_id"].to_pylist() == [f"tx-{number}" for number in range(7)]


def test_what_kafka_lost_before_it_was_archived_is_a_difference_until_it_is_acknowledged(
    settings: Settings, two_batches: Postgres, driver: Driver, publisher: Publisher
) -> None:
    archiving.archive(settings)
    commit_and_publish(two_batches, driver, publisher, 2, range(7, 9))
    expire(settings, Topic.TRANSACTION_FEATURES)
    report = archiving.archive(settings)
    *expired, missing = [difference.text for difference in report.found]
    assert missing == "batch 2: the archive has 0 transactions of it, and the ledger says 2"
    assert expired, "no partition"
    assert all("expired before they were archived" in text for text in expired)
    assert [difference.text for difference in open_differences(two_batches)] == [*expired, missing]
    numbers = [difference.difference_id for difference in open_differences(two_batches)]
    acknowledge(two_batches, numbers, "a test", "Kafka's retention was too short")
    assert archiving.archive(settings).found == []


@pytest.mark.parametrize("archived_between", [True, False])
def test_a_restored_archive_has_what_the_restored_ledger_has_and_goes_on(
    settings: Settings,
    two_batches: Postgres,
    driver: Driver,
    publisher: Publisher,
    tmp_path: Path,
    archived_between: bool,
) -> None:
    archiving.archive(settings)
    commit_and_publish(two_batches, driver, publisher, 2, range(7, 9))  # known to the backup, in Kafka alone
    back_up(settings, tmp_path / "backup", lambda _: None)
    commit_and_publish(two_batches, driver, publisher, 3, range(9, 11))
    archiving.archive(settings)
    commit_and_publish(two_batches, driver, publisher, 4, range(11, 13))
    restore_tables_and_archive(settings, tmp_path / "backup")
    if archived_between:
        assert archiving.archive(settings).appended[Table.TRANSACTIONS] == 2
    again = [scored(offset) | {"fraud_score": 0.3} for offset in range(9, 13)]
    commit(two_batches, driver, batch(3, (Topic.TRANSACTIONS, 9, 13)), again)
    publisher.publish(two_batches, 3)
    assert archiving.archive(settings).found == []
    rows = archived(settings).select(["transaction_id", "batch_id", "fraud_score"]).to_pylist()
    scores = {row["transaction_id"]: (row["batch_id"], row["fraud_score"]) for row in rows}
    assert len(scores) == len(rows) == 13
    assert {name for name, found in scores.items() if found == (3, 0.3)} == {f"tx-{offset}" for offset in range(9, 13)}


def restore_tables_and_archive(settings: Settings, folder: Path) -> None:
    """As `fraudctl restore` and `up` do it, with servers that run."""
    replace_schema(settings, folder / DUMP)
    restore_archive(settings, folder, lambda _: None)
    migrate.migrate(settings)
    roles.grant_tables(settings)


def test_a_chunk_is_a_commit_and_small_files_become_few(
    settings: Settings, two_batches: Postgres, driver: Driver, publisher: Publisher
) -> None:
    small = settings.model_copy(update={"archive": settings.archive.model_copy(update={"chunk_rows": 1})})
    commit_and_publish(two_batches, driver, publisher, 2, range(7, 10))
    report = archiving.archive(small)
    assert (report.appended[Table.TRANSACTIONS], report.found, report.compacted_days) == (10, [], 1)
    assert len(reading.existing(settings).file_uris()) == 1
    assert len(archived(settings)) == 10


@pytest.mark.parametrize("point", sorted(IN_ARCHIVE))
def test_a_killed_run_neither_loses_nor_doubles(
    settings: Settings, two_batches: Postgres, driver: Driver, publisher: Publisher, point: Failpoint
) -> None:
    commit_and_publish(two_batches, driver, publisher, 2, range(7, 10))
    few = {f"{ENV_PREFIX}ARCHIVE__CHUNK_ROWS": "1"}
    append = ("fraudstream.archive", "append")
    run_until(f"{point}=kill", *append, **few)
    again = run_here(*append, **few)
    assert again.returncode == 0, again.stderr
    ids = archived(settings)["transaction_id"].to_pylist()
    assert ids == sorted(f"tx-{number}" for number in range(10))
    assert one(two_batches, "SELECT max(compared_until), sum(differences) FROM fraud.archive_runs") == (3, 0)


def psi(value: float, *, breached: bool) -> Figure:
    return Figure("psi", "amount", value, 5_000, f"PSI {value} of amount", breached=breached)


def test_a_breach_that_lasts_asks_for_a_training_once(writer: Postgres) -> None:
    def run_of(hour: int, *found: Figure, tried: int = 0) -> list[str]:
        began = NOW + timedelta(hours=hour)
        return breaches.keep(writer, "m-1", found, began + timedelta(minutes=1 + tried), began)

    high, fine = psi(0.5, breached=True), psi(0.1, breached=False)
    assert [run_of(hour, high) for hour in (0, 1)] == [[], []]
    assert run_of(2, fine) == []  # it didn't last
    assert [run_of(hour, high) for hour in (3, 4)] == [[], []]
    assert run_of(4, high, tried=1) == []  # a second try of the same run counts once
    told = ["model m-1: PSI 0.5 of amount; 3 runs in a row"]
    assert run_of(5, high) == told
    assert run_of(5, high, tried=1) == told  # killed before it could tell
    assert run_of(6, high) == []
    rows = writer.execute(
        "SELECT runs, ended_at IS NULL, asked_at IS NULL FROM fraud.model_breaches ORDER BY breach_id"
    )
    assert rows.fetchall() == [(2, False, True), (4, True, False)]


@pytest.mark.parametrize("point", sorted(IN_RESCORE))
def test_a_killed_rescoring_is_kept_once_and_whole_by_its_next_try(
    settings: Settings, two_batches: Postgres, point: Failpoint
) -> None:
    """The policy blocks what a list held at the time; the label says that one of these was a fraud."""
    send_label(settings, transaction_id="tx-1", is_fraud=True, labelled_at=iso_milliseconds(NOW))
    archiving.archive(settings)
    ensure_pretrained(two_batches, settings.paths.models)
    number = save_policy(two_batches)
    truth = one(two_batches, DECIDED)
    period = f"--since={AROUND.since:%Y-%m-%dT%H:%M:%SZ}", f"--until={AROUND.until:%Y-%m-%dT%H:%M:%SZ}"
    rescore = ("model.rescoring", *period, f"--policy={number}", "--request=run-1")
    run_until(f"{point}=kill", *rescore)
    again = run_here(*rescore)
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert (told["transactions"], told["was_flagged"], told["was_caught"]) == (7, 1, 1)
    assert (told["would_flag"], told["would_catch"], told["failed_rules"]) == (7, 1, {})
    kept = "SELECT rescoring_id, policy_version, transactions FROM fraud.rescorings"
    assert two_batches.execute(kept).fetchall() == [(told["rescoring"], str(number), 7)]
    assert one(two_batches, "SELECT sum(would_flag), sum(would_catch) FROM fraud.rescored_days") == (7, 1)
    assert one(two_batches, "SELECT count(*) FROM fraud.rescored_ages") == len(AGES)
    assert one(two_batches, DECIDED) == truth


DECIDED = "SELECT jsonb_agg(t ORDER BY transaction_id) FROM fraud.scored_transactions t"


def save_policy(writer: Postgres) -> int:
    """A version that blocks whoever a list held; the list has the shopper since before the transactions."""
    made = {"name": "blocked", "kind": "customer", "description": "", "created_by": "ann"}
    entry = {"list_name": "blocked", "value": "c-1", "reason": "", "added_by": "ann", "added_at": AROUND.since}
    for table, fields in (("lists", made), ("list_entries", entry)):
        values = ", ".join(f"%({name})s" for name in fields)
        writer.execute(f"INSERT INTO fraud.{table} ({', '.join(fields)}) VALUES ({values})", fields)
    rule = Rule(name="r", condition="customer_id IN list('blocked')", action=Action.BLOCK, state=State.LIVE)
    return versions.save(writer, Policy(rules=[rule]), author="ann", comment="", based_on=0).version
