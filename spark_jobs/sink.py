"""Writes a scored micro-batch to Postgres in one transaction: ledger, rows, rollups and accounting, all or nothing."""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from psycopg import Cursor

from fraudstream.failpoints import Failpoint, reach
from fraudstream.messages.contracts import Transaction, utc_time
from fraudstream.messages.features import feature_set, pack_block, place_number
from fraudstream.messages.money import in_minor_units
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.redaction import redact, redact_text
from fraudstream.messages.validation import LABELS, MAX_KEY_BYTES, MAX_MESSAGE_BYTES, TRANSACTIONS
from fraudstream.policy.reading import PolicyAtWork
from fraudstream.settings import ShopSettings
from model.features.columns import SERVED_COLUMNS
from spark_jobs import fencing, ledger, rule_sink, statements
from spark_jobs.bucket import Kind
from spark_jobs.checkpoint import OffsetRange
from spark_jobs.fencing import Driver
from spark_jobs.ledger import BatchRecord, BatchState, Marks, PartitionCounts, Postgres

#: The features of this code, by name.
FEATURE_SET = feature_set(SERVED_COLUMNS)
_decode_transaction = TRANSACTIONS.decode
_decode_label = LABELS.decode
#: PartitionCounts' field of each kind of outcome.
_COUNTED_AS = {
    Kind.TRANSACTION.value: "scored",
    Kind.BROWSE.value: "browse_events",
    Kind.LABEL.value: "labels",
    Kind.DEAD.value: "dead_lettered",
    Kind.DUPLICATE.value: "duplicates",
    Kind.SKIPPED.value: "skipped",
}
_PERCENTILES = (50, 95, 99, 100)
#: So much is kept of a dead letter's detail.
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
    shop: ShopSettings = field(default_factory=ShopSettings)  # of a message that names neither shop nor currency
    policy: PolicyAtWork = field(default_factory=PolicyAtWork)
    keeps_features: bool = True  # until they are published


def prepare(connection: Postgres) -> None:
    """Makes the temporary tables that batches are copied into; once a connection."""
    for statement in statements.CREATE_STAGING:
        connection.execute(statement)


def commit(connection: Postgres, driver: Driver, batch: Batch, outcomes: pa.Table) -> BatchRecord | None:
    """Commits a micro-batch; None when the ledger already has it.

    `outcomes` has schema `spark_jobs.schemas.SCORED`. After any error nothing of the batch is written. Raises
    FencedError when a newer driver holds the query, LedgerError when the offsets don't follow the ledger's,
    psycopg.errors.CheckViolation when a message isn't accounted for, and psycopg.OperationalError when Postgres is
    lost, locked or full, and it should be tried again.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(statements.WAIT_FOR_LOCKS)
        fencing.beat(connection, driver)
        if ledger.batch_state(connection, batch.batch_id, batch.ranges) is BatchState.COMMITTED:
            return None
        reach(Failpoint.AFTER_LEDGER_CHECK)
        rows = _by_kind(outcomes)
        _copy_transactions(cursor, batch, rows[Kind.TRANSACTION.value])
        _copy_labels(cursor, batch, rows[Kind.LABEL.value])
        reach(Failpoint.AFTER_COPY)
        for statement in statements.APPLY:
            cursor.execute(statement, {"batch_id": batch.batch_id})
        rule_sink.count_matches(cursor, batch.batch_id, rows[Kind.TRANSACTION.value])
        rule_sink.switch_off_failed(cursor, batch.policy, rows[Kind.TRANSACTION.value])
        _sort_out_repeats(cursor, rows)
        _write_dead_letters(cursor, batch, rows[Kind.DEAD.value])
        if batch.keeps_features:
            _keep_features(cursor, batch, rows[Kind.TRANSACTION.value])
        reach(Failpoint.AFTER_APPLY)
        counts = _count(rows)
        record, marks = _record(cursor, driver, batch, counts)
        ledger.advance_offsets(connection, driver.topic_ids, batch.ranges, counts, marks)
        ledger.record_batch(connection, record)
        reach(Failpoint.BEFORE_COMMIT)
    return record


def _by_kind(outcomes: pa.Table) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in outcomes.to_pylist():
        rows[row["kind"]].append(row)
    return rows


def _count(rows: dict[str, list[dict[str, Any]]]) -> dict[tuple[str, int], PartitionCounts]:
    """Fates of each topic partition's messages."""
    sums: Counter[tuple[str, int, str]] = Counter()
    for kind, of_kind in rows.items():
        for row in of_kind:
            sums[row["topic"], row["partition"], _COUNTED_AS[kind]] += row["messages"]
    counts: dict[tuple[str, int], PartitionCounts] = defaultdict(PartitionCounts)
    for (topic, partition, name), messages in sums.items():
        counts[topic, partition] = replace(counts[topic, partition], **{name: messages})
    return counts


def _copy_transactions(cursor: Cursor[Any], batch: Batch, rows: Sequence[dict[str, Any]]) -> None:
    scored_at = datetime.now(UTC)
    with cursor.copy(statements.COPY_TRANSACTIONS) as copy:
        for row in rows:
            t = _decode_transaction(row["value"])
            copy.write_row(
                (
                    *(_kept(t, name, batch.shop) for name in statements.TRANSACTION_FIELDS),
                    None if t.items is None else msgspec.json.encode(t.items).decode(),
                    row["fraud_score"],
                    row["is_fraud"],
                    batch.threshold,
                    row["reasons"].decode(),
                    batch.model_version,
                    scored_at,
                    row["late"],
                    utc_time(row["ingest_ms"]),
                    row["partition"],
                    row["offset"],
                    batch.batch_id,
                    batch.challenger_version,
                    row["challenger_score"],
                    content_hash(t),
                    _stored_rate(row["exchange_rate"]),
                    batch.policy.version,
                    row["decision"],
                    rule_sink.live_rules_of(row),
                    row["review_probability"],
                    row["topic"],
                    False,
                )
            )


def _kept(transaction: Transaction, field: str, shop: ShopSettings) -> Any:
    """The field's value as it is stored; money in whole minor units of its currency."""
    value = getattr(transaction, field)
    if value is None:
        return shop.name if field == "shop" else shop.currency if field == "currency" else None
    return in_minor_units(value, transaction.currency or shop.currency) if field in statements.MONEY_FIELDS else value


def _stored_rate(rate: float) -> Decimal | None:
    """The exchange rate that the features were computed with; None where none is known (NaN)."""
    return Decimal(repr(rate)) if rate == rate else None


def _keep_features(cursor: Cursor[Any], batch: Batch, rows: Sequence[dict[str, Any]]) -> None:
    """Keeps the features of what the batch inserted until they are published."""
    if rows:
        topics = sorted({row["topic"] for row in rows})
        block = pack_block(
            [(place_number(topics, row["topic"], row["partition"]), row["offset"], row["features"]) for row in rows]
        )
        kept = {"batch_id": batch.batch_id, "set": FEATURE_SET, "names": list(SERVED_COLUMNS)}
        cursor.execute(statements.KEEP_FEATURES, kept | {"block": block, "topics": topics})


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
                    utc_time(row["ingest_ms"]),
                    row["topic"],
                    row["partition"],
                    row["offset"],
                    batch.batch_id,
                )
            )


def _write_dead_letters(cursor: Cursor[Any], batch: Batch, rows: Sequence[dict[str, Any]]) -> None:
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
                    bool(row["cut"]) or (key, value) != (row["key"], row["value"]),
                    utc_time(row["ingest_ms"]),
                    batch.batch_id,
                )
            )
    cursor.execute(statements.DEAD_LETTERS)


def _sort_out_repeats(cursor: Cursor[Any], rows: dict[str, list[dict[str, Any]]]) -> None:
    """Moves rows to the kind that they turned out to be: a known id is a duplicate, or a conflict with another content.

    The profile's memory is short; the table's isn't.
    """
    cursor.execute(statements.REPEATED)
    repeated = set(cursor.fetchall())
    if repeated:
        _move(rows, repeated, Kind.TRANSACTION, Kind.DUPLICATE)
    duplicates = rows[Kind.DUPLICATE.value]
    if not duplicates:
        return
    with cursor.copy(statements.COPY_REPEATS) as copy:
        for row in duplicates:
            if _place(row) not in repeated:  # else it is there already
                t = _decode_transaction(row["value"])
                copy.write_row((t.transaction_id, content_hash(t), *_place(row)))
    conflicts = {(r[0], r[1], r[2]): r[3:] for r in cursor.execute(statements.CONFLICTS).fetchall()}
    for row in _move(rows, conflicts.keys(), Kind.DUPLICATE, Kind.DEAD):
        topic, partition, offset = conflicts[_place(row)]
        there = "" if topic in (None, row["topic"]) else f"topic {topic}, "
        row["reason"] = DeadLetterReason.ID_CONFLICT.value
        row["detail"] = f"its transaction_id came with other content in {there}partition {partition} at offset {offset}"


def _place(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["topic"], row["partition"], row["offset"]


def _move(
    rows: dict[str, list[dict[str, Any]]], places: Collection[tuple[str, int, int]], source: Kind, target: Kind
) -> list[dict[str, Any]]:
    """Moves the rows at `places` (topic, partition, offset) from one kind to another, and returns them."""
    moved = [row for row in rows[source.value] if _place(row) in places]
    rows[source.value] = [row for row in rows[source.value] if _place(row) not in places]
    rows[target.value].extend(moved)
    return moved


def content_hash(transaction: Transaction) -> int:
    """A signed 64-bit hash of all fields: equal contents are equal, whatever their JSON looks like."""
    content = msgspec.msgpack.encode(transaction)
    return int.from_bytes(blake2b(content, digest_size=8).digest(), signed=True)


def _record(
    cursor: Cursor[Any], driver: Driver, batch: Batch, counts: dict[tuple[str, int], PartitionCounts]
) -> tuple[BatchRecord, dict[tuple[str, int], Marks]]:
    inserted = cursor.execute(statements.INSERTED, {"batch_id": batch.batch_id}).fetchall()
    now = time.time()
    ages_ms = [(now - ingest_time.timestamp()) * 1000 for _, _, ingest_time, _, _ in inserted]
    totals = PartitionCounts(**{name: sum(getattr(c, name) for c in counts.values()) for name in _COUNTED_AS.values()})
    late = Counter((topic, partition) for topic, partition, _, is_late, _ in inserted if is_late)
    flagged = Counter((topic, partition) for topic, partition, _, _, is_flagged in inserted if is_flagged)
    record = BatchRecord(
        batch_id=batch.batch_id,
        epoch=driver.epoch,
        ranges=batch.ranges,
        totals=totals,
        late=late.total(),
        flagged=flagged.total(),
        model_version=batch.model_version,
        static_version=batch.static_version,
        started_at=batch.started_at,
        duration_ms=(now - batch.started_at) * 1000,
        latencies_ms=np.percentile(ages_ms, _PERCENTILES).tolist() if ages_ms else [],
    )
    places = {(topic, partition) for topic, partition, _, _, _ in inserted}
    return record, {place: Marks(late[place], flagged[place]) for place in places}
