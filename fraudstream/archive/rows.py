"""Rows of the archive: what the topics say, joined with the transaction's own fields, without what is there already."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from confluent_kafka import Message
from deltalake import DeltaTable
from psycopg.rows import dict_row

from fraudstream.archive.erased import ErasedTransactions
from fraudstream.archive.lake import FEATURE_PREFIX, ArchiveError
from fraudstream.messages.contracts import QUERY, Label, Topic, utc_time
from fraudstream.messages.features import FeatureRecord, decode_features, unpack
from fraudstream.messages.refusal import Rejection
from fraudstream.messages.validation import bounded, decode
from fraudstream.storage.connect import Postgres
from fraudstream.storage.expressions import SHOP_AMOUNT

_TIME = pa.timestamp("us", "UTC")
#: Columns that the topic gives. The first ones are those that readers choose rows by: Delta keeps their bounds.
_RECORD = pa.schema(
    [
        ("transaction_id", pa.string()),
        ("event_time", _TIME),
        ("event_day", pa.date32()),
        ("batch_id", pa.int64()),
        ("model_version", pa.string()),
        ("policy_version", pa.string()),
        ("fraud_score", pa.float64()),
        ("challenger_version", pa.string()),
        ("challenger_score", pa.float64()),
        ("feature_set", pa.string()),
    ]
)
#: Columns that fraud.scored_transactions gives; null when retention, or a restore, took the row before.
_JOINED = pa.schema(
    [
        ("customer_id", pa.string()),
        ("session_id", pa.string()),
        ("is_fraud", pa.bool_()),
        ("decision", pa.string()),
        ("threshold", pa.float64()),
        ("amount", pa.float64()),
        ("currency", pa.string()),
        ("shop_amount", pa.float64()),
        ("payment_method", pa.string()),
        ("card_token", pa.string()),
        ("promo_code", pa.string()),
        ("promo_amount", pa.float64()),
        ("shipping_fee", pa.float64()),
        ("shipping_city", pa.string()),
        ("shipping_country", pa.string()),
        ("shipping_latitude", pa.float64()),
        ("shipping_longitude", pa.float64()),
        ("ip_country", pa.string()),
        ("device_id", pa.string()),
        ("items", pa.string()),
        ("reasons", pa.string()),
        ("ingest_time", _TIME),
        ("scored_at", _TIME),
        ("late", pa.bool_()),
        ("terminal_id", pa.string()),
    ]
)
_LABELS = pa.schema(
    [
        ("transaction_id", pa.string()),
        ("known_at", _TIME),
        ("known_day", pa.date32()),
        ("labelled_at", _TIME),
        ("is_fraud", pa.bool_()),
        ("source", pa.string()),
        ("kafka_partition", pa.int32()),
        ("kafka_offset", pa.int64()),
    ]
)
#: What Postgres has in another form than Arrow.
_AS = {
    **{name: f"{name}::float8" for name in ("amount", "promo_amount", "shipping_fee")},
    **{name: f"{name}::text" for name in ("items", "reasons")},
    "shop_amount": f"({SHOP_AMOUNT})::float8",
}
_FIELDS = f"""
SELECT transaction_id, {", ".join(f"{_AS.get(name, name)} AS {name}" for name in _JOINED.names)}
FROM fraud.scored_transactions WHERE transaction_id = ANY(%s)
"""  # noqa: S608 (constants)
_BATCHES = "SELECT min(batch_id) FROM fraud.stream_batches WHERE query = %s"
_SCORED = "SELECT transaction_id, batch_id, fraud_score FROM fraud.scored_transactions WHERE transaction_id = ANY(%s)"
_NAMES = "SELECT names FROM fraud.feature_sets WHERE feature_set = %s"
_IDS = 20_000


def records(messages: Iterable[Message]) -> list[FeatureRecord]:
    """The records of messages, each transaction of a batch once: a batch that was published twice is the same twice."""
    found = (decode_features(message.value() or b"") for message in messages)
    return list({(record.batch_id, record.transaction_id): record for record in found}.values())


def without_archived(table: DeltaTable | None, found: Sequence[FeatureRecord]) -> list[FeatureRecord]:
    """Those of `found` that the table doesn't have: part of a batch may have been archived before its repeat came."""
    if table is None or not found:
        return list(found)
    batch, until = ds.field("batch_id"), max(record.batch_id for record in found)
    chosen = (batch >= min(record.batch_id for record in found)) & (batch <= until)
    known = table.to_pyarrow_dataset().to_table(columns=["batch_id", "transaction_id"], filter=chosen)
    pairs = set(zip(known["batch_id"].to_pylist(), known["transaction_id"].to_pylist(), strict=True))
    return [record for record in found if (record.batch_id, record.transaction_id) not in pairs]


def of_this_ledger(connection: Postgres, found: Sequence[FeatureRecord]) -> list[FeatureRecord]:
    """Those of `found` that the ledger knows, or that are older than all that it keeps.

    After a restore of the database Kafka still has what was scored since the backup. That is scored again, in batches
    of the same numbers, and is archived as it was scored then. Raises psycopg.Error.
    """
    ((oldest,),) = connection.execute(_BATCHES, (QUERY,)).fetchall()
    ids = [record.transaction_id for record in found]
    scored = {
        name: (batch_id, score)
        for start in range(0, len(ids), _IDS)
        for name, batch_id, score in connection.execute(_SCORED, (ids[start : start + _IDS],))
    }
    return [
        record
        for record in found
        if scored.get(record.transaction_id) == (record.batch_id, record.fraud_score)
        or (oldest is not None and record.batch_id < oldest)
    ]


def transactions(connection: Postgres, found: Sequence[FeatureRecord]) -> pa.Table:
    """Rows of the table `transactions`. Raises ArchiveError for features that nothing names."""
    by_set: dict[str, list[FeatureRecord]] = defaultdict(list)
    for record in found:
        by_set[record.feature_set].append(record)
    fields = _fields(connection, [record.transaction_id for record in found])
    parts = [_part(alike, _names(connection, name), fields) for name, alike in by_set.items()]
    return (
        pa.concat_tables(parts, promote_options="default") if parts else pa.schema([*_RECORD, *_JOINED]).empty_table()
    )


def labels(messages: Iterable[Message], max_future: timedelta, erased: ErasedTransactions) -> pa.Table:
    """Rows of the table `labels`: those that the stream accepts, but for the erased. `known_at`: when Kafka got one."""
    rows = []
    for message in messages:
        appended_ms = message.timestamp()[1]
        event = decode(
            Topic.TRANSACTION_LABELS, message.key(), message.value(), bounded(appended_ms, appended_ms), max_future
        )
        if isinstance(event, Rejection):
            continue
        assert isinstance(event, Label)  # noqa: S101 (of this topic)
        if event.transaction_id in erased:
            continue
        known_at = utc_time(appended_ms)
        rows.append(
            {
                **msgspec.structs.asdict(event),
                "known_at": known_at,
                "known_day": known_at.date(),
                "kafka_partition": message.partition(),
                "kafka_offset": message.offset(),
            }
        )
    return pa.Table.from_pylist(rows, _LABELS)


def _part(found: Sequence[FeatureRecord], names: Sequence[str], fields: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """Rows of one feature set."""
    times = pa.array([record.event_time_us for record in found], pa.int64()).cast(_TIME)
    columns: dict[str, Any] = {
        name: [getattr(record, name) for record in found] for name in _RECORD.names if name not in _OF_TIME
    }
    columns |= {"event_time": times, "event_day": pc.cast(times, pa.date32())}
    none: Mapping[str, Any] = {}
    joined = [fields.get(record.transaction_id, none) for record in found]
    columns |= {name: [row.get(name) for row in joined] for name in _JOINED.names}
    try:
        values = unpack((record.features for record in found), len(names))
    except ValueError as error:
        raise ArchiveError(f"features of the set {found[0].feature_set} aren't {len(names)} values each") from error
    schema = [*_RECORD, *_JOINED, *(pa.field(f"{FEATURE_PREFIX}{name}", pa.float32()) for name in names)]
    columns |= {f"{FEATURE_PREFIX}{name}": _column(values, number) for number, name in enumerate(names)}
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in schema}, pa.schema(schema))


_OF_TIME = ("event_time", "event_day")


def _column(values: np.ndarray, number: int) -> pa.Array:
    return pa.array(np.ascontiguousarray(values[:, number]))


def _names(connection: Postgres, feature_set: str) -> Sequence[str]:
    row = connection.execute(_NAMES, (feature_set,)).fetchone()
    if row is None:
        raise ArchiveError(
            f"fraud.feature_sets doesn't name the features of the set {feature_set}: was the schema emptied? Insert "
            "its row from a backup; the stream writes those of its own code with each micro-batch"
        )
    names: list[str] = row[0]
    return names


def _fields(connection: Postgres, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The transactions' own fields, by id."""
    found: dict[str, Mapping[str, Any]] = {}
    with connection.cursor(row_factory=dict_row) as cursor:
        for start in range(0, len(ids), _IDS):
            rows = cursor.execute(_FIELDS, (list(ids[start : start + _IDS]),)).fetchall()
            found |= {row["transaction_id"]: row for row in rows}
    return found
