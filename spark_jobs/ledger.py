"""The fence and the ledger: who may write, and which offsets are accounted for already."""

import os
import socket
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import Enum
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from fraudstream.errors import FraudstreamError
from fraudstream.settings import StreamSettings
from spark_jobs.checkpoint import OffsetRange

QUERY = "score_transactions"
Postgres = Connection[tuple[Any, ...]]


class FencedError(FraudstreamError):
    """Another driver has taken over; this one must not write any more."""


class LedgerError(FraudstreamError):
    """Ledger, checkpoint and settings don't belong together; going on would lose or repeat something."""


class BatchState(Enum):
    """What the ledger knows of a micro-batch's offset ranges."""

    NEW = "new"
    COMMITTED = "committed"  # Spark runs it again after a crash between our commit and its own


@dataclass(frozen=True)
class Driver:
    """A place in the order of drivers: a later start has a greater epoch."""

    epoch: int
    name: str


def driver_name() -> str:
    """`host:pid` of this process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def take_over(connection: Postgres, stream: StreamSettings, planned: int | None, location: str) -> Driver:
    """Makes this process the query's driver, so that an older one's next commit is refused.

    Args:
        connection: as the writer.
        stream: its state's size is fixed with the checkpoint.
        planned: the newest micro-batch in the checkpoint, or None.
        location: the checkpoint's, for messages.

    Raises LedgerError when ledger and checkpoint aren't of one history, or when a fixed setting has changed.
    """
    name = driver_name()
    with connection.transaction():
        known = connection.execute(
            "SELECT state_buckets, state_partitions FROM fraud.stream_queries WHERE query = %s FOR UPDATE", (QUERY,)
        ).fetchone()
        _check_history(connection, planned, location)
        if known and planned is not None:
            _check_fixed(stream, *known)
        row = connection.execute(
            """
            INSERT INTO fraud.stream_queries AS q
                (query, epoch, driver, state_buckets, state_partitions, started_at, heartbeat_at)
            VALUES (%s, 1, %s, %s, %s, now(), now())
            ON CONFLICT (query) DO UPDATE SET epoch = q.epoch + 1, driver = excluded.driver,
                state_buckets = excluded.state_buckets, state_partitions = excluded.state_partitions,
                started_at = now(), heartbeat_at = now()
            RETURNING epoch
            """,
            (QUERY, name, stream.state_buckets, stream.state_partitions),
        ).fetchone()
    assert row is not None  # noqa: S101 (RETURNING always returns)
    return Driver(row[0], name)


def _check_history(connection: Postgres, planned: int | None, location: str) -> None:
    """Checks that the checkpoint is level with the ledger or one batch ahead, since Spark plans, then we commit.

    Two ahead of an empty ledger, which knows nothing of a batch 0 without messages.
    """
    row = connection.execute("SELECT max(batch_id) FROM fraud.stream_batches WHERE query = %s", (QUERY,)).fetchone()
    committed = row[0] if row else None
    if planned is None and committed is None:
        return
    if planned is None:
        raise LedgerError(
            f"the ledger in Postgres ends at batch {committed}, but there is no checkpoint in {location}: a new start "
            "would score again, with empty profiles. Restore the checkpoint, or start over: ./fraudctl reset --yes"
        )
    ahead = planned - (-1 if committed is None else committed)
    if not 0 <= ahead <= (2 if committed is None else 1):
        raise LedgerError(
            f"the checkpoint in {location} is at batch {planned}, but the ledger in Postgres at "
            f"{'none' if committed is None else committed}: one of them was restored from another time. "
            "Restore the matching one, or start over: ./fraudctl reset --yes"
        )


def _check_fixed(stream: StreamSettings, buckets: int, partitions: int) -> None:
    for name, fixed, wanted in (
        ("STATE_BUCKETS", buckets, stream.state_buckets),
        ("STATE_PARTITIONS", partitions, stream.state_partitions),
    ):
        if fixed != wanted:
            raise LedgerError(
                f"FRAUDSTREAM_STREAM__{name}={wanted}, but the checkpoint was made with {fixed}, and can't be changed: "
                f"set it back to {fixed}"
            )


def beat(connection: Postgres, driver: Driver) -> None:
    """Proves that this driver still holds the fence, and locks it until the transaction's end. Raises FencedError."""
    updated = connection.execute(
        "UPDATE fraud.stream_queries SET heartbeat_at = now() WHERE query = %s AND epoch = %s", (QUERY, driver.epoch)
    )
    if updated.rowcount == 1:
        return
    holder = connection.execute("SELECT driver, epoch FROM fraud.stream_queries WHERE query = %s", (QUERY,)).fetchone()
    newer = f"{holder[0]} (epoch {holder[1]})" if holder else "nobody"
    raise FencedError(f"this driver, {driver.name} (epoch {driver.epoch}), was replaced by {newer}; it stops")


def batch_state(connection: Postgres, batch_id: int, ranges: Sequence[OffsetRange]) -> BatchState:
    """Whether a micro-batch is new or was committed, by its offset ranges. Raises LedgerError for anything else."""
    rows = connection.execute(
        "SELECT topic, kafka_partition, next_offset FROM fraud.stream_offsets WHERE query = %s", (QUERY,)
    ).fetchall()
    position = {(topic, partition): offset for topic, partition, offset in rows}
    elsewhere = [r for r in ranges if position.get((r.topic, r.partition), r.start) != r.start]
    if not elsewhere:
        return BatchState.NEW
    stored = connection.execute(
        "SELECT offsets FROM fraud.stream_batches WHERE query = %s AND batch_id = %s", (QUERY, batch_id)
    ).fetchone()
    if stored and stored[0] == offsets_json(ranges):
        return BatchState.COMMITTED
    wrong = elsewhere[0]
    raise LedgerError(
        f"batch {batch_id} starts {wrong.topic}/{wrong.partition} at offset {wrong.start}, but the ledger is at "
        f"{position[wrong.topic, wrong.partition]}: checkpoint and ledger aren't of one history"
    )


def offsets_json(ranges: Sequence[OffsetRange]) -> dict[str, dict[str, list[int]]]:
    """`{topic: {partition: [from, until]}}`, as in fraud.stream_batches.offsets."""
    by_topic: dict[str, dict[str, list[int]]] = {}
    for r in ranges:
        by_topic.setdefault(r.topic, {})[str(r.partition)] = [r.start, r.until]
    return by_topic


@dataclass(frozen=True)
class PartitionCounts:
    """What became of a partition's messages in one micro-batch; the order is that of the tables' columns."""

    scored: int = 0
    browse_events: int = 0
    labels: int = 0
    dead_lettered: int = 0
    duplicates: int = 0


def advance_offsets(
    connection: Postgres, ranges: Sequence[OffsetRange], counts: dict[tuple[str, int], PartitionCounts]
) -> None:
    """Moves each partition's position. The table's CHECK is the accounting identity: a missing row fails the batch."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO fraud.stream_offsets AS o (query, topic, kafka_partition, next_offset, first_offset,
                scored, browse_events, labels, dead_lettered, duplicates)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (query, topic, kafka_partition) DO UPDATE SET next_offset = excluded.next_offset,
                scored = o.scored + excluded.scored, browse_events = o.browse_events + excluded.browse_events,
                labels = o.labels + excluded.labels, dead_lettered = o.dead_lettered + excluded.dead_lettered,
                duplicates = o.duplicates + excluded.duplicates
            """,
            [
                (
                    QUERY,
                    r.topic,
                    r.partition,
                    r.until,
                    r.start,
                    *astuple(counts.get((r.topic, r.partition), PartitionCounts())),
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
            duplicates, late, flagged, model_version, static_version, started_at, duration_ms, latencies_ms)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, to_timestamp(%s), %s, %s)
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
    """Notes that Kafka acknowledged all that a batch committed."""
    connection.execute(
        "UPDATE fraud.stream_batches SET published_at = now() WHERE query = %s AND batch_id = %s", (QUERY, batch_id)
    )
