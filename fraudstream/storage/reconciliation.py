"""Compares Kafka, the ledger and the tables: all that was read is accounted for, and nothing was lost unread.

The ledger's own identity (read = scored + used + dead-lettered + duplicate) is a CHECK of each commit. What is compared
here lies outside of that transaction: rows that somebody deleted or a restored backup lacks, messages that expired
before they were read, a topic that was made anew, results that never reached Kafka.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
from psycopg.rows import DictRow, dict_row

from fraudstream import kafka_offsets
from fraudstream.contracts import INPUT_TOPICS
from fraudstream.errors import FraudstreamError
from fraudstream.settings import Settings, load_settings
from fraudstream.storage import continuity
from fraudstream.storage.continuity import KafkaView

KAFKA_SECONDS = 10.0
#: A batch is published right after its commit; what is unpublished for longer waits for a driver that is gone.
PUBLISHED_WITHIN = "60 seconds"

Reader = psycopg.Connection[DictRow]

TOTALS = """
    SELECT coalesce(sum(scored), 0)::bigint AS scored,
           (SELECT coalesce(sum(transactions), 0) FROM fraud.fraud_counts)::bigint AS counted
    FROM fraud.stream_offsets
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


@dataclass
class Report:
    """What was compared, and what doesn't agree; a difference names its partition and offsets, or its batch."""

    batches: int = 0
    messages: int = 0
    unread: int = 0
    differences: list[str] = field(default_factory=list)


def reconcile(settings: Settings, hours: int) -> Report:
    """Compares positions and totals as a whole, and rows batch by batch for the last `hours`.

    All of Postgres is seen at one moment. Kafka's beginnings are asked before it and its ends after it, so that a
    running stream makes no difference. Raises KafkaUnavailableError, or psycopg.Error.
    """
    begins = kafka_offsets.earliest(settings.kafka, INPUT_TOPICS, KAFKA_SECONDS)
    ids = kafka_offsets.topic_ids(settings.kafka, INPUT_TOPICS, KAFKA_SECONDS)
    with psycopg.connect(settings.dsn(settings.postgres.reader), row_factory=dict_row) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        positions = continuity.positions(connection)
        report = Report(differences=list(_totals(connection)))
        for batch in connection.execute(BATCHES, (hours,)):
            report.batches += 1
            report.differences.extend(_batch(batch))
    ends = kafka_offsets.latest(settings.kafka, INPUT_TOPICS, KAFKA_SECONDS)
    report.messages = sum(position.next_offset - position.first_offset for position in positions)
    report.differences += [found.text for found in continuity.breaks(positions, KafkaView(begins, ends, ids))]
    read = {position.place: position.next_offset for position in positions}
    report.unread = kafka_offsets.unread(ends, begins | read)
    return report


def _totals(connection: Reader) -> Iterator[str]:
    row = connection.execute(TOTALS).fetchone() or {"scored": 0, "counted": 0}
    if row["scored"] != row["counted"]:
        yield f"fraud.fraud_counts holds {row['counted']} transactions, and the ledger {row['scored']} scored ones"


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


def main() -> int:
    """`python -m fraudstream.storage.reconciliation --hours 24`: prints the report; exit status 1 for a difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=int, default=24, help="whose batches are compared row by row (24)")
    hours = parser.parse_args().hours
    try:
        report = reconcile(load_settings(), hours)
    except (FraudstreamError, psycopg.Error) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 (the command's answer)
        return 1
    print(  # noqa: T201
        f"{report.messages} messages read since the first start, {report.unread} not read yet; "
        f"{report.batches} batches of the last {hours} h compared row by row; {len(report.differences)} differences"
    )
    for difference in report.differences:
        print(f"difference: {difference}")  # noqa: T201
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
