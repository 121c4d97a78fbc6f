"""The ledger: the micro-batches that were committed, and the offsets that are accounted for already."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from enum import Enum
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from fraudstream.errors import RefusedError
from fraudstream.messages.contracts import QUERY
from spark_jobs.checkpoint import OffsetRange

Postgres = Connection[tuple[Any, ...]]


class LedgerError(RefusedError):
    """Ledger, checkpoint and settings don't belong together; going on would lose or repeat something."""


class BatchState(Enum):
    """A micro-batch's offset ranges, as the ledger knows them."""

    NEW = "new"
    COMMITTED = "committed"  # Spark runs it again after a crash between our commit and its own


def batch_state(connection: Postgres, batch_id: int, ranges: Sequence[OffsetRange]) -> BatchState:
    """Tells by its offset ranges if a micro-batch is new or was committed. Raises LedgerError for anything else."""
    stored = connection.execute(
        "SELECT offsets FROM fraud.stream_batches WHERE query = %s AND batch_id = %s", (QUERY, batch_id)
    ).fetchone()
    if stored and stored[0] == offsets_json(ranges):
        return BatchState.COMMITTED
    rows = connection.execute(
        "SELECT topic, kafka_partition, next_offset FROM fraud.stream_offsets WHERE query = %s", (QUERY,)
    ).fetchall()
    position = {(topic, partition): offset for topic, partition, offset in rows}
    for r in ranges:
        reached = position.get((r.topic, r.partition), r.start)
        if reached != r.start:
            raise LedgerError(
                f"batch {batch_id} starts {r.topic}/{r.partition} at offset {r.start}, but the ledger is at {reached}: "
                "checkpoint and ledger aren't of one history. Start the state anew: ./fraudctl rebuild"
            )
    if stored:
        raise LedgerError(
            f"batch {batch_id} has other offsets in the ledger, {stored[0]}: checkpoint and ledger aren't of one "
            "history. Start the state anew: ./fraudctl rebuild"
        )
    return BatchState.NEW


def offsets_json(ranges: Sequence[OffsetRange]) -> dict[str, dict[str, list[int]]]:
    """`{topic: {partition: [from, until]}}`, as in fraud.stream_batches.offsets."""
    by_topic: dict[str, dict[str, list[int]]] = {}
    for r in ranges:
        by_topic.setdefault(r.topic, {})[str(r.partition)] = [r.start, r.until]
    return by_topic


@dataclass(frozen=True)
class PartitionCounts:
    """Fates of a partition's messages in one micro-batch; the order is that of the tables' columns."""

    scored: int = 0
    browse_events: int = 0
    labels: int = 0
    dead_lettered: int = 0
    duplicates: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Marks:
    """Numbers of a partition's scored transactions that were late, and that were flagged."""

    late: int = 0
    flagged: int = 0


def advance_offsets(
    connection: Postgres,
    topic_ids: Mapping[str, str],
    ranges: Sequence[OffsetRange],
    counts: Mapping[tuple[str, int], PartitionCounts],
    marks: Mapping[tuple[str, int], Marks],
) -> None:
    """Moves each partition's position. The table's CHECK is the accounting identity: a missing row fails the batch."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO fraud.stream_offsets AS o (query, topic, kafka_partition, next_offset, first_offset, topic_id,
                scored, browse_events, labels, dead_lettered, duplicates, skipped, late, flagged)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (query, topic, kafka_partition) DO UPDATE SET next_offset = excluded.next_offset,
                scored = o.scored + excluded.scored, browse_events = o.browse_events + excluded.browse_events,
                labels = o.labels + excluded.labels, dead_lettered = o.dead_lettered + excluded.dead_lettered,
                duplicates = o.duplicates + excluded.duplicates, skipped = o.skipped + excluded.skipped,
                late = o.late + excluded.late, flagged = o.flagged + excluded.flagged
            """,
            [
                (
                    QUERY,
                    r.topic,
                    r.partition,
                    r.until,
                    r.start,
                    topic_ids.get(r.topic),
                    *astuple(counts.get((r.topic, r.partition), PartitionCounts())),
                    *astuple(marks.get((r.topic, r.partition), Marks())),
                )
                for r in ranges
                if r.until > r.start
            ],
        )


@dataclass(frozen=True)
class BatchRecord:
    """A row of the ledger, fraud.stream_batches; times in epoch seconds, latencies in milliseconds."""

    batch_id: int
    epoch: int
    ranges: Sequence[OffsetRange]
    totals: PartitionCounts
    late: int
    flagged: int
    model_version: str
    static_version: int
    started_at: float
    duration_ms: float
    latencies_ms: Sequence[float]


def record_batch(connection: Postgres, record: BatchRecord) -> None:
    """Writes the ledger's row."""
    connection.execute(
        """
        INSERT INTO fraud.stream_batches (query, batch_id, epoch, offsets, scored, browse_events, labels, dead_lettered,
            duplicates, skipped, late, flagged, model_version, static_version, started_at, duration_ms, latencies_ms)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, to_timestamp(%s), %s, %s)
        """,
        (
            QUERY,
            record.batch_id,
            record.epoch,
            Jsonb(offsets_json(record.ranges)),
            *astuple(record.totals),
            record.late,
            record.flagged,
            record.model_version,
            record.static_version,
            record.started_at,
            record.duration_ms,
            list(record.latencies_ms),
        ),
    )


def unpublished(connection: Postgres) -> list[int]:
    """Batches that were committed, but whose Kafka messages weren't acknowledged; oldest first."""
    rows = connection.execute(
        "SELECT batch_id FROM fraud.stream_batches WHERE query = %s AND published_at IS NULL ORDER BY batch_id",
        (QUERY,),
    ).fetchall()
    return [row[0] for row in rows]


def mark_published(connection: Postgres, batch_id: int) -> None:
    """Notes that Kafka acknowledged all that a batch committed, of which the features were kept for that only."""
    connection.execute(
        """
        WITH sent AS (DELETE FROM fraud.batch_features WHERE batch_id = %(batch_id)s RETURNING batch_id)
        UPDATE fraud.stream_batches SET published_at = now(), with_features = with_features OR EXISTS (SELECT FROM sent)
        WHERE query = %(query)s AND batch_id = %(batch_id)s
        """,
        {"query": QUERY, "batch_id": batch_id},
    )
