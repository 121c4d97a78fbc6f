"""Reconciliation against a real Kafka and Postgres: silent when all agrees, and precise when something doesn't."""

import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from fraudstream.errors import UsageError
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.ledger import rotation
from fraudstream.ledger.differences import Difference, acknowledge, keep, open_differences
from fraudstream.ledger.reconciliation import EXAMPLES, Report, note, reconcile
from fraudstream.local import status
from fraudstream.messages.contracts import INPUT_TOPICS, Topic
from fraudstream.settings import Settings
from tests.commands import run_here
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

SOLD = (
    """
    INSERT INTO fraud.scored_transactions (transaction_id, session_id, customer_id, event_time, amount, currency, items,
        payment_method, promo_amount, shipping_fee, shipping_city, shipping_country, shipping_latitude,
        shipping_longitude, ip_country, device_id, fraud_score, is_fraud, threshold, reasons, model_version, scored_at,
        late, ingest_time, kafka_partition, kafka_offset, batch_id, counted_in_sales)
    VALUES (%(id)s, 's', 'c', %(at)s, 20, 'EUR', '[{"product_id": "p-1", "quantity": 2, "unit_price": 10}]', 'card', 0,
        0, 'Oslo', 'NO', 60, 10, 'NO', 'd', 0.9, true, 0.5, '[]', 'm', %(at)s, false, %(at)s, 0, %(batch)s, %(batch)s,
        true)
    """,
    """
    INSERT INTO fraud.fraud_alerts (transaction_id, customer_id, event_time, amount, currency, shipping_city,
        shipping_country, fraud_score, reasons, model_version)
    VALUES (%(id)s, 'c', %(at)s, 20, 'EUR', 'Oslo', 'NO', 0.9, '[]', 'm')
    """,
    "INSERT INTO fraud.fraud_counts VALUES (%(at)s, 1, 1, 20, 20)",
    "INSERT INTO fraud.segment_counts VALUES (%(at)s, 'main', 'NO', 'card', 'review', 1, 1, 20, 20)",
    "INSERT INTO fraud.fraud_locations VALUES (%(at)s, 'NO', 'Oslo', 60, 10, 1, 20)",
    "INSERT INTO fraud.product_sales VALUES (%(at)s, 'p-1', 2, 20.00, %(batch)s)",
    "INSERT INTO fraud.segment_sales VALUES (%(at)s, 'p-1', 'main', 'NO', 'card', 'review', 2, 20)",
    """
    INSERT INTO fraud.stream_batches (query, batch_id, epoch, offsets, scored, late, flagged, browse_events, labels,
        dead_lettered, duplicates, model_version, static_version, started_at, committed_at, duration_ms, latencies_ms,
        published_at)
    VALUES ('test', %(batch)s, 1, '{}', 1, 0, 1, 0, 0, 0, 0, 'm', 1, %(at)s, %(at)s, 10, '{}', %(at)s)
    """,
)


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
    report = reconcile(settings)
    assert (report.batches, report.messages, report.unread, report.differences) == (1, 3, 0, [])


def test_what_was_lost_was_not_read(settings: Settings, agreed: Postgres) -> None:
    agreed.execute("UPDATE fraud.stream_offsets SET lost = 5, first_offset = first_offset - 5 WHERE labels > 0")
    assert reconcile(settings).messages == 3


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
    differences = reconcile(settings).differences
    assert any(said in difference for difference in differences), differences


def test_a_batchs_difference_names_its_offsets(settings: Settings, agreed: Postgres) -> None:
    agreed.execute("DELETE FROM fraud.dead_letters")
    [difference] = reconcile(settings).differences
    end = kafka_offsets.latest(settings.kafka, INPUT_TOPICS, 10)[LABELS, 0]
    assert difference.startswith(f"batch 7 ({LABELS}/0 {end - 3} to {end - 1})")


def test_old_batches_are_compared(settings: Settings, agreed: Postgres) -> None:
    """Only the batches of the last hour were, so that a difference older than it was forgotten."""
    agreed.execute("UPDATE fraud.stream_batches SET committed_at = now() - interval '200 days'")
    agreed.execute("DELETE FROM fraud.dead_letters")
    for _ in range(2):  # in the first run it is a new batch, in the second the round comes to it
        report = reconcile(settings)
        note(settings, report)
        assert len(report.differences) == 1


@pytest.fixture
def sold(agreed: Postgres) -> Postgres:
    """Besides, three hours, a hundred days ago, with a sale of a batch each, and rollups that agree with the rows."""
    for number in range(3):
        at = {"id": f"t{number}", "at": f"2026-08-01 1{number}:00:07+00", "batch": number}
        for statement in SOLD:
            agreed.execute(statement, at)
    agreed.execute("UPDATE fraud.stream_offsets SET scored = 3, first_offset = first_offset - 3 WHERE labels > 0")
    return agreed


def test_rollups_that_agree_are_no_difference(settings: Settings, sold: Postgres) -> None:
    report = reconcile(settings)
    assert (report.hours, report.differences) == (3, [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE fraud.product_sales SET units = 5", "fraud.product_sales of p-1 has 5 units, and the rows give 2"),
        ("DELETE FROM fraud.product_sales", "fraud.product_sales of p-1 has 0 revenue, and the rows give 20"),
        (
            "UPDATE fraud.scored_transactions SET counted_in_sales = false",
            "fraud.product_sales of p-1 has 20.00 revenue, and the rows give 0",
        ),
        ("UPDATE fraud.fraud_counts SET amount = 21", "fraud.fraud_counts has 21 amount, and the rows give 20"),
        ("UPDATE fraud.fraud_counts SET flagged = 0", "fraud.fraud_counts has 0 flagged, and the rows give 1"),
        ("UPDATE fraud.segment_counts SET amount = 21", "fraud.segment_counts has 21 amount, and the rows give 20"),
        ("DELETE FROM fraud.segment_counts", "fraud.segment_counts has 0 transactions, and the rows give 1"),
        ("UPDATE fraud.segment_sales SET units = 3", "fraud.segment_sales has 3 units, and the rows give 2"),
        ("DELETE FROM fraud.segment_sales", "fraud.segment_sales has 0 revenue, and the rows give 20"),
        ("DELETE FROM fraud.fraud_locations", "fraud.fraud_locations has 0 flagged, and the rows give 1"),
        ("DELETE FROM fraud.fraud_alerts", "fraud.fraud_alerts has 0 alerted, and the rows give 1"),
    ],
)
def test_a_rollup_of_long_ago_that_differs_is_named(settings: Settings, sold: Postgres, change: str, said: str) -> None:
    sold.execute(change)
    named = [difference for difference in reconcile(settings).differences if said in difference]
    assert [difference.split(": ")[0] for difference in named] == [f"hour 2026-08-01T1{n}Z" for n in range(3)]


def test_sales_that_were_merged_to_days_are_compared_by_the_day(settings: Settings, sold: Postgres) -> None:
    sold.execute("INSERT INTO fraud.rollup_horizons VALUES ('segment_sales', '2026-08-02 00:00+00')")
    sold.execute("DELETE FROM fraud.segment_sales")
    day = "INSERT INTO fraud.segment_sales VALUES ('2026-08-01 00:00+00', 'p-1', 'main', 'NO', 'card', 'review', 6, 60)"
    sold.execute(day)
    assert reconcile(settings, whole=True).differences == []
    sold.execute("UPDATE fraud.segment_sales SET units = 7")
    assert reconcile(settings, whole=True).differences == [
        "day 2026-08-01: fraud.segment_sales has 7 units, and fraud.product_sales has 6"
    ]


def test_hours_that_may_have_lost_rows_to_their_age_are_left_out(settings: Settings, sold: Postgres) -> None:
    """Batches go first, and then their rows, while rollups stay for longer."""
    sold.execute("DELETE FROM fraud.stream_batches WHERE batch_id = 0")  # the next one is of 11:00
    sold.execute("DELETE FROM fraud.scored_transactions WHERE batch_id < 1")
    sold.execute("UPDATE fraud.product_sales SET units = 5")
    report = reconcile(settings, whole=True)
    assert report.hours == 0
    sold.execute("UPDATE fraud.stream_batches SET committed_at = '2026-08-01 10:59:59+00' WHERE batch_id = 1")
    [difference] = reconcile(settings, whole=True).differences
    assert difference.startswith("hour 2026-08-01T12Z: fraud.product_sales")


def test_runs_take_slices_and_come_round(settings: Settings, sold: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "LEAST_ROWS", 1)
    monkeypatch.setattr(rotation, "LEAST_BATCHES", 2)
    sold.execute("UPDATE fraud.product_sales SET units = 5 WHERE window_start > '2026-08-01 12:00:00+00'")
    sold.execute("DELETE FROM fraud.dead_letters")
    found = []
    for _ in range(8):
        report = reconcile(settings)
        note(settings, report)
        assert report.hours == 1
        found.append([difference.key.split()[0] for difference in report.found])
    # The batch as a new one at first, then by a round of four slices; the hour in each third run.
    assert found == [["batch"], [], ["hour"], [], ["batch"], ["hour"], [], []]
    rounds = dict(sold.execute("SELECT name, whole_since < begun_at FROM fraud.reconciliation_positions").fetchall())
    assert rounds == {"new batches": None, "batches": True, "hours": True}


def test_everything_at_once(settings: Settings, sold: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "LEAST_ROWS", 1)
    monkeypatch.setattr(rotation, "LEAST_BATCHES", 1)
    sold.execute("UPDATE fraud.product_sales SET units = 5")
    assert len(reconcile(settings).found) == 1
    assert len(reconcile(settings, whole=True).found) == 3


def test_a_new_ledger_begins_the_rounds_anew(settings: Settings, agreed: Postgres) -> None:
    for name in ("new batches", "batches"):
        agreed.execute("INSERT INTO fraud.reconciliation_positions VALUES (%s, 1000, now(), NULL)", (name,))
    agreed.execute("DELETE FROM fraud.dead_letters")
    assert len(reconcile(settings).differences) == 1


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command that the Dag runs."""
    return run_here("fraudstream.ledger.reconciliation", *arguments)


def test_a_run_is_noted_and_shown(settings: Settings, agreed: Postgres) -> None:
    assert status.collect(settings).reconciliation.at is None
    done = run()
    assert done.returncode == 0, done.stderr
    found = status.collect(settings)
    books = found.reconciliation
    assert (books.batches, books.unread, books.differences, books.examples) == (1, 0, 0, [])
    assert books.age_s is not None
    assert 0 <= books.age_s < 60
    assert books.whole_age_s is not None
    assert 0 <= books.whole_age_s < 60
    assert not any("books" in problem for problem in found.problems)


def test_a_difference_stays_until_it_is_acknowledged(settings: Settings, agreed: Postgres) -> None:
    """It was forgotten as soon as a run didn't find it."""
    agreed.execute("DELETE FROM fraud.dead_letters")
    done = run()
    assert done.returncode == 1
    assert "difference: batch 7" in done.stdout
    agreed.execute(DEAD, (kafka_offsets.latest(settings.kafka, INPUT_TOPICS, 10)[LABELS, 0] - 1,))
    done = run()
    assert done.returncode == 1
    assert "difference: " not in done.stdout
    assert done.stderr.startswith("fraudctl: 1 differences are open: ./fraudctl acknowledge")
    found = status.collect(settings)
    assert found.reconciliation.differences == 1
    assert any(problem.startswith("the books differ: batch 7 (") for problem in found.problems)
    listed = run_here("fraudstream.cli", "acknowledge")
    number = listed.stdout.split()[0]
    assert "0 acknowledged, 1 open" in listed.stdout
    refused = run_here("fraudstream.cli", "acknowledge", number)
    assert (refused.returncode, "--reason" in refused.stderr) == (1, True)
    closed = run_here("fraudstream.cli", "acknowledge", number, "--reason", "put back by hand")
    assert closed.stdout == "1 acknowledged, 0 open\n", closed.stderr
    assert not any("books" in problem for problem in status.collect(settings).problems)
    kept = "SELECT reason, acknowledged_by <> '' FROM fraud.reconciliation_differences"
    assert agreed.execute(kept).fetchall() == [("put back by hand", True)]
    assert run().returncode == 0


def test_what_was_acknowledged_stays_closed_until_it_differs_by_more(settings: Settings, agreed: Postgres) -> None:
    agreed.execute("DELETE FROM fraud.transaction_labels WHERE label_id & 1 = 0")
    assert len(note(settings, reconcile(settings))) == 1
    [found] = open_differences(agreed)
    with pytest.raises(UsageError, match="no open difference has the number 0"):
        acknowledge(agreed, [0], "somebody", "a reason")
    acknowledge(agreed, [found.difference_id], "somebody", "a reason")
    assert note(settings, reconcile(settings)) == []
    agreed.execute("DELETE FROM fraud.transaction_labels")
    assert len(note(settings, reconcile(settings))) == 1
    assert "has 0 rows of it" in open_differences(agreed)[0].text


def test_a_batch_that_is_not_published_passes_by_itself(settings: Settings, agreed: Postgres) -> None:
    agreed.execute("UPDATE fraud.stream_batches SET published_at = NULL")
    assert run().returncode == 1
    assert status.collect(settings).reconciliation.differences == 1
    agreed.execute("UPDATE fraud.stream_batches SET published_at = now()")
    assert run().returncode == 0
    assert status.collect(settings).reconciliation.differences == 0


def test_of_many_differences_the_first_are_shown_and_some_are_kept(settings: Settings, agreed: Postgres) -> None:
    many = [Difference(f"key {number}", f"difference {number}") for number in range(1100)]
    assert len(note(settings, Report(found=many))) == 1100
    found = status.collect(settings)
    assert found.reconciliation.differences == 1000
    assert found.reconciliation.examples == [f"difference {number}" for number in range(EXAMPLES)]
    assert any("difference 0, and 999 more" in problem for problem in found.problems)
    acknowledge(agreed, [each.difference_id for each in open_differences(agreed)], "somebody", "a reason")
    keep(agreed, many)
    assert len(open_differences(agreed)) == 100


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
