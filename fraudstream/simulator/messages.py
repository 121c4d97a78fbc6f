"""Arrow tables to Kafka messages, by the contracts."""

from functools import cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from fraudstream.messages.contracts import SCHEMA_VERSION, Topic

MAX_SENT_BYTES = 1_000_000  # key and value; Kafka's default, for clients and topics
_KEYS = {
    Topic.BROWSE_EVENTS: "customer_id",
    Topic.TRANSACTIONS: "customer_id",
    Topic.TRANSACTION_LABELS: "transaction_id",
    Topic.SIMULATION_TRUTH: "transaction_id",
}
_encoder = msgspec.json.Encoder()


class Message(NamedTuple):
    """One Kafka message, and when it is due (ms since the epoch). Ordered by that time."""

    due_ms: int
    topic: str
    key: bytes | None
    value: bytes


def time_column(topic: Topic) -> str:
    """The column that says when an event of `topic` happens."""
    return "labelled_at" if topic is Topic.TRANSACTION_LABELS else "event_time"


def encode_table(topic: Topic, table: pa.Table) -> list[Message]:
    """Messages of `table`'s rows, in their order."""
    due = table[time_column(topic)].to_numpy().astype("datetime64[ms]").astype(np.int64).tolist()
    columns = [_python_values(column) for column in table.columns]
    keys = columns[table.column_names.index(_KEYS[topic])]
    record = _record(tuple(table.column_names))
    topic_name = str(topic)
    return [
        Message(moment, topic_name, key.encode(), _encoder.encode(record(SCHEMA_VERSION, *row)))
        for moment, key, row in zip(due, keys, zip(*columns, strict=True), strict=True)
    ]


@cache
def _record(names: tuple[str, ...]) -> type[msgspec.Struct]:
    # A struct encodes faster than a dict. The values are the contract's already, so that it needs no types.
    return msgspec.defstruct("Record", ["schema_version", *names])


def _python_values(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        moments = column.to_numpy().astype("datetime64[ms]")
        return [f"{moment}Z" for moment in np.datetime_as_string(moments, unit="ms").tolist()]
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    if pa.types.is_nested(column.type):
        return list(column.to_pylist())
    return list(column.to_numpy().tolist())
