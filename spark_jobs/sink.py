"""Writes a scored micro-batch to Postgres in one transaction: ledger, rows, rollups and accounting, all or nothing."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from psycopg import Cursor

from fraudstream.contracts import Label, Transaction
from fraudstream.redaction import redact, redact_text
from fraudstream.validation import MAX_MESSAGE_BYTES
from spark_jobs import ledger, statements
from spark_jobs.bucket import Kind
from spark_jobs.checkpoint import OffsetRange
from spark_jobs.ledger import BatchRecord, BatchState, Driver, PartitionCounts, Postgres

_decode_transaction = msgspec.json.Decoder(Transaction).decode
_decode_label = msgspec.json.Decoder(Label).decode
#: PartitionCounts' field of each kind of outcome.
_COUNTED_AS = {
    Kind.TRANSACTION.value: "scored",
    Kind.BROWSE.value: "browse_events",
    Kind.LABEL.value: "labels",
    Kind.DEAD.value: "dead_lettered",
    Kind.DUPLICATE.value: "duplicates",
}
_PERCENTILES = (50, 95, 99, 100)
#: So much is kept of a dead letter's key and detail (of its value: `MAX_MESSAGE_BYTES`); no valid key is as long.
#: More couldn't be published, either: a compressed message may be larger than Kafka's limit when it is unpacked.
MAX_KEY_BYTES = 1024
MAX_DETAIL_BYTES = 500


@dataclass(frozen=True)
class Batch:
    """A micro-batch: where it comes from and what scored it. `started_at` is in epoch seconds."""

    batch_id: int
    ranges: Sequence[OffsetRange]
    model_version: str
    threshold: float
    static_version: int
    started_at: float
    challenger_version: str | None = None  # the model that scored in shadow


def prepare(connection: Postgres) -> None:
    """Makes the temporary tables that batches are copied into; once a connection."""
    for statement in statements.CREATE_STAGING:
        connection.execute(statement)


def commit(connection: Postgres, driver: Driver, batch: Batch, outcomes: pa.Table) -> BatchRecord | None:
    """Commits a micro-batch; None when the ledger already has it.

    `outcomes` has schema `spark_jobs.schemas.SCORED`. After any error nothing of the batch is written. Raises
    FencedError when a newer driver holds the query, LedgerError when the offsets don't follow the ledger's, and
    psycopg.errors.CheckViolation when a message isn't accounted for.
    """
    with connection.transaction(), connection.cursor() as cursor:
        ledger.beat(connection, driver)
        if ledger.batch_state(connection, batch.batch_id, batch.ranges) is BatchState.COMMITTED:
            return None
        rows = _by_kind(outcomes)
        _copy_transactions(cursor, batch, rows[Kind.TRANSACTION.value])
        _copy_labels(cursor, batch, rows[Kind.LABEL.value])
        _copy_dead_letters(cursor, batch, rows[Kind.DEAD.value])
        counts = _count(outcomes)
        _apply(cursor, batch, counts)
        record = _record(cursor, driver, batch, counts)
        ledger.advance_offsets(connection, batch.ranges, counts)
        ledger.record_batch(connection, record)
    return record


def _by_kind(outcomes: pa.Table) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in outcomes.to_pylist():
        rows[row["kind"]].append(row)
    return rows


def _count(outcomes: pa.Table) -> dict[tuple[str, int], PartitionCounts]:
    """What became of each topic partition's messages."""
    sums = outcomes.group_by(["topic", "partition", "kind"]).aggregate([("messages", "sum")]).to_pylist()
    counts: dict[tuple[str, int], PartitionCounts] = defaultdict(PartitionCounts)
    for row in sums:
        place = row["topic"], row["partition"]
        counts[place] = replace(counts[place], **{_COUNTED_AS[row["kind"]]: row["messages_sum"]})
    return counts


def _copy_transactions(cursor: Cursor[Any], batch: Batch, rows: Sequence[dict[str, Any]]) -> None:
    scored_at = datetime.now(UTC)
    with cursor.copy(statements.COPY_TRANSACTIONS) as copy:
        for row in rows:
            t = _decode_transaction(row["value"])
            copy.write_row(
                (
                    *(getattr(t, name) for name in statements.TRANSACTION_FIELDS),
                    msgspec.json.encode(t.items).decode(),
                    row["fraud_score"],
                    row["is_fraud"],
                    batch.threshold,
                    row["reasons"].decode(),
                    batch.model_version,
                    scored_at,
                    row["late"],
                    _time(row["ingest_ms"]),
                    row["partition"],
                    row["offset"],
                    batch.batch_id,
                    batch.challenger_version,
                    row["challenger_score"],
                    False,
                )
            )


def _copy_labels(cursor: Cursor[Any], batch: Batch, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    with cursor.copy(statements.COPY_LABELS) as copy:
        for row in rows:
            label = _decode_label(row["value"])
            copy.write_row(
                (
                    label.transaction_id,
                    label.is_fraud,
                    label.source,
                    label.labelled_at,
                    _time(row["ingest_ms"]),
                    row["partition"],
                    row["offset"],
                    batch.batch_id,
                )
            )


def _copy_dead_letters(cursor: Cursor[Any], batch: Batch, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    with cursor.copy(statements.COPY_DEAD_LETTERS) as copy:
        for row in rows:
            key, value = redact(row["key"], MAX_KEY_BYTES), redact(row["value"], MAX_MESSAGE_BYTES)
            copy.write_row(
                (
                    row["topic"],
                    row["partition"],
                    row["offset"],
                    row["reason"],
                    redact_text(row["detail"], MAX_DETAIL_BYTES),
                    key,
                    value,
                    (key, value) != (row["key"], row["value"]),
                    _time(row["ingest_ms"]),
                    batch.batch_id,
                )
            )


def _apply(cursor: Cursor[Any], batch: Batch, counts: dict[tuple[str, int], PartitionCounts]) -> None:
    """Moves the staged rows into their tables, then updates the rollups from the rows that were really inserted."""
    parameters = {"batch_id": batch.batch_id}
    for statement in statements.APPLY:
        cursor.execute(statement, parameters)
    # Known already, though no longer in the profile's memory: a duplicate, not a second score.
    cursor.execute(statements.REPEATED, parameters)
    for topic, partition, repeated in cursor.fetchall():
        known = counts[topic, partition]
        counts[topic, partition] = replace(
            known, scored=known.scored - repeated, duplicates=known.duplicates + repeated
        )


def _record(
    cursor: Cursor[Any], driver: Driver, batch: Batch, counts: dict[tuple[str, int], PartitionCounts]
) -> BatchRecord:
    cursor.execute(statements.INSERTED, {"batch_id": batch.batch_id})
    inserted = cursor.fetchall()
    now = time.time()
    ages_ms = [(now - ingest_time.timestamp()) * 1000 for ingest_time, _, _ in inserted]
    totals = PartitionCounts(**{name: sum(getattr(c, name) for c in counts.values()) for name in _COUNTED_AS.values()})
    return BatchRecord(
        batch_id=batch.batch_id,
        epoch=driver.epoch,
        ranges=batch.ranges,
        totals=totals,
        late=sum(late for _, late, _ in inserted),
        flagged=sum(is_fraud for _, _, is_fraud in inserted),
        model_version=batch.model_version,
        static_version=batch.static_version,
        started_at=batch.started_at,
        duration_ms=(now - batch.started_at) * 1000,
        latencies_ms=np.percentile(ages_ms, _PERCENTILES).tolist() if ages_ms else [],
    )


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
