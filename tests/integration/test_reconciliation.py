"""Reconciliation against a real Kafka and Postgres: silent when all agrees, and precise when something doesn't."""

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.ledger.reconciliation import EXAMPLES, Report, note, reconcile
from fraudstream.local import status
from fraudstream.messages.contracts import INPUT_TOPICS, Topic
from fraudstream.settings import PROJECT_DIR, Settings
from tests.polling import poll

Postgres = psycopg.Connection[tuple[object, ...]]
LABELS = Topic.TRANSACTION_LABELS.value
POSITION = """
    INSERT INTO fraud.stream_offsets (query, topic, kafka_partition, first_offset, next_offset,
                                      scored, browse_events, labels, dead_lettered, duplicates)
    VALUES ('test', %s, %s, %s, %s, 0, 0, %s, %s, 0)
"""
BATCH = """
    INSERT INTO fraud.stream_batches (query, batch_id, epoch, offsets, scored, late, flagged, browse_events, labels,
                                      dead_lettered, duplicates, model_version, static_version, started_at,
                                      committed_at, duration_ms, latencies_ms, published_at)
    VALUES ('test', 7, 1, %s, 0, 0, 0, 0, 2, 1, 0, 'm', 1, now(), now() - interval '2 minutes', 10, '{}', now())
"""
LABEL = """
    INSERT INTO fraud.transaction_labels (transaction_id, is_fraud, source, labelled_at, ingest_time,
                                          kafka_partition, kafka_offset, batch_id)
    VALUES ('t', true, 'analyst', now(), now(), 0, %s, 7)
"""
DEAD = """
    INSERT INTO fraud.dead_letters (topic, kafka_partition, kafka_offset, reason, detail, ingest_time, batch_id)
    VALUES ('transaction-labels', 0, %s, 'NOT_JSON', 'a detail', now(), 7)
"""


@pytest.fixture
def agreed(settings: Settings, owner: Postgres, empty_tables: None) -> Iterator[Postgres]:
    """A ledger and tables that agree with Kafka: one batch of two labels and a dead letter."""
    ends = poll(lambda: kafka_offsets.latest(settings.kafka, INPUT_TOPICS, 10), 60, "the broker knows its topics")
    for (topic, partition), end in ends.items():
        is_read = (topic, partition) == (LABELS, 0)
        owner.execute(POSITION, (topic, partition, end - 3 * is_read, end, 2 * is_read, 1 * is_read))
    end = ends[LABELS, 0]
    owner.execute(BATCH, (f'{{"{LABELS}": {{"0": [{end - 3}, {end}]}}}}',))
    owner.execute(LABEL, (end - 3,))
    owner.execute(LABEL, (end - 2,))
    owner.execute(DEAD, (end - 1,))
    yield owner
    owner.execute("DELETE FROM fraud.stream_offsets; DELETE FROM fraud.stream_batches")


def test_nothing_is_said_when_all_agrees(settings: Settings, agreed: Postgres) -> None:
    report = reconcile(settings, 1)
    assert (report.batches, report.messages, report.unread, report.differences) == (1, 3, 0, [])


def test_what_was_lost_was_not_read(settings: Settings, agreed: Postgres) -> None:
    agreed.execute("UPDATE fraud.stream_offsets SET lost = 5, first_offset = first_offset - 5 WHERE labels > 0")
    assert reconcile(settings, 1).messages == 3


@pytest.mark.parametrize(
    ("breakage", "said"),
    [
        ("DELETE FROM fraud.dead_letters", "fraud.dead_letters has 0 rows of it, and the ledger says 1"),
        (
            "DELETE FROM fraud.transaction_labels WHERE label_id & 1 = 0",  # one of two that follow each other
            "fraud.transaction_labels has 1 rows of it, and the ledger says 2",
        ),
        ("UPDATE fraud.stream_batches SET published_at = NULL", "not published to Kafka"),
        (
            "UPDATE fraud.stream_offsets SET first_offset = 1e9, next_offset = 1e9 WHERE topic = 'browse-events'",
            "the topic was made anew",
        ),
        (
            "INSERT INTO fraud.fraud_counts VALUES (now(), 4, 0, 0, 0)",
            "fraud.fraud_counts holds 4 transactions, and the ledger 0 scored ones",
        ),
    ],
)
def test_a_difference_is_named(settings: Settings, agreed: Postgres, breakage: str, said: str) -> None:
    agreed.execute(breakage)
    differences = reconcile(settings, 1).differences
    assert differences
    assert all(said in difference for difference in differences)


def test_a_batchs_difference_names_its_offsets(settings: Settings, agreed: Postgres) -> None:
    agreed.execute("DELETE FROM fraud.dead_letters")
    [difference] = reconcile(settings, 1).differences
    end = kafka_offsets.latest(settings.kafka, INPUT_TOPICS, 10)[LABELS, 0]
    assert difference.startswith(f"batch 7 ({LABELS}/0 {end - 3} to {end - 1})")


def test_old_batches_are_left_out(settings: Settings, agreed: Postgres) -> None:
    agreed.execute("UPDATE fraud.stream_batches SET committed_at = now() - interval '2 hours'")
    assert reconcile(settings, 1).batches == 0
    assert reconcile(settings, 3).batches == 1


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as the Dag runs it."""
    command = [sys.executable, "-m", "fraudstream.ledger.reconciliation", *arguments]
    return subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, timeout=120, check=False)


def test_a_run_is_noted_and_shown(settings: Settings, agreed: Postgres) -> None:
    assert status.collect(settings).reconciliation.at is None
    done = run("--hours", "1")
    assert done.returncode == 0, done.stderr
    found = status.collect(settings)
    books = found.reconciliation
    assert (books.batches, books.unread, books.differences, books.examples) == (1, 0, 0, [])
    assert books.age_s is not None
    assert 0 <= books.age_s < 60
    assert not any("books" in problem for problem in found.problems)


def test_a_difference_fails_the_run_and_is_a_problem_until_a_run_finds_none(
    settings: Settings, agreed: Postgres
) -> None:
    agreed.execute("DELETE FROM fraud.dead_letters")
    done = run("--hours", "1")
    assert done.returncode == 1
    assert "difference: batch 7" in done.stdout
    assert done.stderr == "fraudctl: the books differ in 1 places, named above\n"
    found = status.collect(settings)
    assert found.reconciliation.differences == 1
    assert any(problem.startswith("the books differ: batch 7 (") for problem in found.problems)
    agreed.execute("UPDATE fraud.stream_batches SET committed_at = now() - interval '2 hours'")
    assert run("--hours", "1").returncode == 0
    assert not any("books" in problem for problem in status.collect(settings).problems)


def test_of_many_differences_the_first_are_kept(settings: Settings, agreed: Postgres) -> None:
    note(settings, Report(differences=[f"difference {number}" for number in range(1000)]))
    found = status.collect(settings)
    assert found.reconciliation.differences == 1000
    assert found.reconciliation.examples == [f"difference {number}" for number in range(EXAMPLES)]
    assert any("difference 0, and 999 more" in problem for problem in found.problems)


def test_old_notes_are_forgotten(settings: Settings, agreed: Postgres) -> None:
    for days in (29, 31):
        agreed.execute(
            "INSERT INTO fraud.reconciliations (at, batches, messages, unread, differences, examples) "
            "VALUES (now() - make_interval(days => %s), 0, 0, 0, 0, '{}')",
            (days,),
        )
    note(settings, Report())
    assert agreed.execute("SELECT count(*) FROM fraud.reconciliations").fetchone() == (2,)


def test_a_server_that_does_not_answer_is_one_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUDSTREAM_POSTGRES__PORT", "1")
    done = run()
    assert done.returncode == 1
    assert done.stderr.startswith(
        "fraudctl: Postgres at 127.0.0.1:1 doesn't serve fraud_reader in database fraudstream ("
    )
    assert "Traceback" not in done.stderr
