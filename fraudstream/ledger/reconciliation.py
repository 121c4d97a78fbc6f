"""Compares Kafka, the ledger and the tables: all that was read is accounted for, and nothing was lost unread.

The ledger's own identity (read = scored + used + dead-lettered + duplicate) is a CHECK of each commit. What is compared
here lies outside of that transaction: rows that somebody deleted or a restored backup lacks, messages that expired
before they were read, a topic that was made anew, results that never reached Kafka.

`python -m fraudstream.ledger.reconciliation`, as the Dag `reconcile_stream` runs it. It compares as the reader; as the
writer it only notes the outcome in `fraud.reconciliations`, where `fraudctl status` and the health page find it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

import psycopg
import typer
from psycopg.rows import DictRow, dict_row

from fraudstream.errors import FraudstreamError, told_in_one_line
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.ledger import figures, gaps
from fraudstream.ledger.gaps import ANSWER_SECONDS, KafkaView
from fraudstream.messages.contracts import INPUT_TOPICS
from fraudstream.settings import Settings, load_settings
from fraudstream.settings.kafka import Role
from fraudstream.storage.connect import Postgres, PostgresUnavailableError, first_line, session

#: A batch is published right after its commit; what is unpublished for longer waits for a driver that is gone.
PUBLISHED_WITHIN = "60 seconds"

#: Notes are kept for so long, and of each run's differences so many: the log has them all.
KEPT = "30 days"
EXAMPLES = 20

#: Of the windows, and of those that retention has deleted.
COUNTED = """
    SELECT coalesce((SELECT sum(transactions) FROM fraud.fraud_counts), 0)::bigint
         + coalesce((SELECT total FROM fraud.retired_totals
                     WHERE (table_name, figure) = ('fraud_counts', 'transactions')), 0)::bigint
"""
#: The batches of the last hours, with what each left in the tables.
BATCHES = """
    SELECT batch.batch_id, batch.offsets, batch.scored, batch.dead_lettered, batch.labels,
           (SELECT count(*) FROM fraud.scored_transactions AS t WHERE t.batch_id = batch.batch_id) AS rows_scored,
           (SELECT count(*) FROM fraud.dead_letters AS d WHERE d.batch_id = batch.batch_id) AS rows_dead_lettered,
           (SELECT count(*) FROM fraud.transaction_labels AS l WHERE l.batch_id = batch.batch_id) AS rows_labels,
           batch.published_at IS NULL AND batch.committed_at < now() - interval '{published_within}' AS unpublished
    FROM fraud.stream_batches AS batch
    WHERE batch.committed_at > now() - make_interval(hours => %s)
    ORDER BY batch.batch_id
""".replace("{published_within}", PUBLISHED_WITHIN)
_NEWEST = """
    SELECT at, extract(epoch FROM clock_timestamp() - at)::float8 AS age_s, batches, messages, unread, differences,
           examples
    FROM fraud.reconciliations ORDER BY at DESC LIMIT 1
"""
_NOTE = """
    INSERT INTO fraud.reconciliations (batches, messages, unread, differences, examples) VALUES (%s, %s, %s, %s, %s)
"""
_FORGET = "DELETE FROM fraud.reconciliations WHERE at < clock_timestamp() - %s::interval"


class ReconciliationError(FraudstreamError):
    """The books differ, or can't be read."""


@dataclass
class Report:
    """The outcome of a comparison; a difference names its partition and offsets, or its batch."""

    batches: int = 0
    messages: int = 0
    unread: int = 0
    differences: list[str] = field(default_factory=list)


def reconcile(settings: Settings, hours: int) -> Report:
    """Compares positions and totals as a whole, and rows batch by batch for the last `hours`.

    All of Postgres is seen at one moment. Kafka's beginnings are asked before it and its ends after it, so that a
    running stream makes no difference. Raises KafkaUnavailableError, or psycopg.Error.
    """
    kafka = settings.kafka.as_role(Role.READER)
    begins = kafka_offsets.earliest(kafka, INPUT_TOPICS, ANSWER_SECONDS)
    ids = kafka_offsets.topic_ids(kafka, INPUT_TOPICS, ANSWER_SECONDS)
    with session(settings, settings.postgres.reader, name="reconciliation") as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        positions = gaps.positions(connection)
        totals = figures.totals(connection)
        report = Report(messages=totals.read, differences=list(_counts(connection, totals.scored)))
        for batch in connection.cursor(row_factory=dict_row).execute(BATCHES, (hours,)):
            report.batches += 1
            report.differences.extend(_batch(batch))
    ends = kafka_offsets.latest(kafka, INPUT_TOPICS, ANSWER_SECONDS)
    report.differences += [found.text for found in gaps.breaks(positions, KafkaView(begins, ends, ids))]
    read = {position.place: position.next_offset for position in positions}
    report.unread = kafka_offsets.unread(ends, begins | read)
    return report


def note(settings: Settings, report: Report) -> None:
    """Keeps the outcome for those who ask later, and forgets what is older than `KEPT`. Raises psycopg.Error."""
    examples = report.differences[:EXAMPLES]
    with session(settings, settings.postgres.writer, name="reconciliation") as connection:
        connection.execute(_NOTE, (report.batches, report.messages, report.unread, len(report.differences), examples))
        connection.execute(_FORGET, (KEPT,))


def newest(connection: Postgres) -> DictRow | None:
    """The newest note: `at`, `age_s` (seconds), `batches`, `messages`, `unread`, `differences`, `examples`."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_NEWEST).fetchone()


def problem(found: DictRow | None) -> str:
    """The problem that the newest note tells of; empty when the books agree, or were never compared."""
    if not found or not found["differences"]:
        return ""
    more = found["differences"] - 1
    others = f", and {more} more" if more else ""
    return f"the books differ: {found['examples'][0]}{others}; read the newest log of the Dag reconcile_stream"


def _counts(connection: Postgres, scored: int) -> Iterator[str]:
    (counted,) = connection.execute(COUNTED).fetchall()[0]
    if scored != counted:
        yield f"fraud.fraud_counts holds {counted} transactions, and the ledger {scored} scored ones"


def _batch(batch: DictRow) -> Iterator[str]:
    name = f"batch {batch['batch_id']} ({_ranges(batch['offsets'])})"
    for column, table in (
        ("scored", "scored_transactions"),
        ("dead_lettered", "dead_letters"),
        ("labels", "transaction_labels"),
    ):
        rows = batch[f"rows_{column}"]
        if rows != batch[column]:
            yield f"{name}: fraud.{table} has {rows} rows of it, and the ledger says {batch[column]}"
    if batch["unpublished"]:
        yield f"{name}: committed more than {PUBLISHED_WITHIN} ago, and not published to Kafka"


def _ranges(offsets: dict[str, dict[str, tuple[int, int]]]) -> str:
    return ", ".join(
        f"{topic}/{partition} {start} to {until - 1}"
        for topic, partitions in sorted(offsets.items())
        for partition, (start, until) in sorted(partitions.items())
        if until > start
    )


def main(
    hours: Annotated[int, typer.Option(min=0, help="whose batches are compared row by row")] = 24,
) -> None:
    """Compare Kafka, the ledger and the tables, and note the outcome. Exit status 1 for a difference.

    Examples:
      python -m fraudstream.ledger.reconciliation

      python -m fraudstream.ledger.reconciliation --hours 1
    """
    settings = load_settings()
    try:
        report = reconcile(settings, hours)
        note(settings, report)
    except PostgresUnavailableError:
        raise
    except psycopg.Error as error:
        raise ReconciliationError(f"the ledger can't be read or written: {first_line(error)}") from error
    typer.echo(
        f"{report.messages} messages read since the first start, {report.unread} not read yet; "
        f"{report.batches} batches of the last {hours} h compared row by row; {len(report.differences)} differences"
    )
    for difference in report.differences:
        typer.echo(f"difference: {difference}")
    if report.differences:
        raise ReconciliationError(f"the books differ in {len(report.differences)} places, named above")


if __name__ == "__main__":
    with told_in_one_line():
        typer.run(main)
