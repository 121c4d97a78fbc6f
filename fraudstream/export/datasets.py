"""The datasets of an export: which rows and columns of which table, of what types, and what is added up of them.

Columns and what they mean are those of the tables (`fraudstream.storage.tables`), so that a new one is exported, too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
from sqlalchemy import ARRAY, BigInteger, Boolean, DateTime, Double, Integer, Numeric, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from fraudstream.retention.tables import ROLLUP_SUMS
from fraudstream.storage.expressions import SHOP_AMOUNT
from fraudstream.storage.tables import desk, past, results

TIME = pa.timestamp("us", "UTC")
#: Money of the shop currency that the books add up, exactly: `SHOP_AMOUNT` has as many digits.
SUMMED = pa.decimal128(38, 4)
_ITEM = pa.struct([("product_id", pa.string()), ("quantity", pa.int64()), ("unit_price", pa.float64())])
_REASON = pa.struct(
    [("feature", pa.string()), ("value", pa.float64()), ("contribution", pa.float64()), ("text", pa.string())]
)
_LISTS = {"items": pa.list_(_ITEM), "reasons": pa.list_(_REASON)}
_TYPES: dict[type, pa.DataType] = {
    Text: pa.string(),
    BigInteger: pa.int64(),
    Integer: pa.int32(),
    Double: pa.float64(),
    Boolean: pa.bool_(),
    DateTime: TIME,
    Numeric: pa.float64(),  # as messages have money: each is the very number that was sent
}


class Column(NamedTuple):
    """A column: its name and type in the files, its SQL expression, and what it means."""

    name: str
    type: pa.DataType
    sql: str
    told: str = ""


@dataclass(frozen=True)
class Dataset:
    """Rows of `source`, a table or query, by the day of the column `time`, sorted by it and by `key`."""

    name: str
    told: str
    source: str
    time: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    sums: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """The files' schema."""
        return pa.schema([(column.name, column.type) for column in self.columns])


def _of_table(table: Table, name: str, time: str, **others: Any) -> Dataset:
    money = others.pop("money", ())
    columns = tuple(_columns(table, money))
    key = tuple(column.name for column in table.primary_key if column.name != time)
    if "exchange_rate" in table.columns:
        told = "amount in the shop currency; null: no exchange rate was known"
        columns = (*columns, Column("shop_amount", SUMMED, SHOP_AMOUNT, told))
    told = others.pop("told", None) or str(table.comment)
    return Dataset(name, told, f"fraud.{table.name}", time, key, columns, **others)


def _columns(table: Table, money: tuple[str, ...]) -> Iterator[Column]:
    for column in table.columns:
        kind = SUMMED if column.name in money else _type(column.name, column.type)
        yield Column(column.name, kind, _expression(column.name, column.type), column.comment or "")


def _type(name: str, kind: Any) -> pa.DataType:
    if isinstance(kind, JSONB):
        return _LISTS[name]
    return pa.list_(pa.string()) if isinstance(kind, ARRAY) else _TYPES[type(kind)]


def _expression(name: str, kind: Any) -> str:
    """A value as CSV has it: times without their zone, which is UTC, and lists as JSON."""
    if isinstance(kind, DateTime):
        return f"{name} AT TIME ZONE 'UTC'"
    return f"to_json({name})" if isinstance(kind, ARRAY) else name


def _rollup(table: Table, name: str) -> Dataset:
    sums = ROLLUP_SUMS[table.name]
    money = tuple(each for each in sums if isinstance(table.columns[each].type, Numeric))
    return _of_table(table, name, "window_start", money=money, sums=sums)


_DEAD_LETTERS = """(
    SELECT date_trunc('day', ingest_time, 'UTC') AS day, topic, reason, count(*) AS messages,
        count(replayed_at) AS replayed
    FROM fraud.dead_letters GROUP BY 1, 2, 3
) AS counted"""
DATASETS = (
    _of_table(
        results.scored_transactions,
        "transactions",
        "event_time",
        told="A row a scored transaction, with score, decision and reasons; what its message lacked is null",
        sums=("shop_amount",),
    ),
    _of_table(results.fraud_alerts, "alerts", "event_time", sums=("shop_amount",)),
    _of_table(results.transaction_labels, "labels", "labelled_at"),
    _of_table(desk.analyst_verdicts, "verdicts", "decided_at"),
    _of_table(desk.alert_notes, "notes", "written_at"),
    _rollup(results.fraud_counts, "counts"),
    _rollup(results.segment_counts, "segments"),
    _rollup(results.fraud_locations, "locations"),
    _rollup(results.product_sales, "sales"),
    _rollup(results.segment_sales, "segment_sales"),
    Dataset(
        "dead_letters",
        "How many messages were refused; what they held stays behind, since it may be anything",
        _DEAD_LETTERS,
        "day",
        ("topic", "reason"),
        (
            Column("day", TIME, "day AT TIME ZONE 'UTC'", "start of the day in which they arrived in Kafka"),
            Column("topic", pa.string(), "topic"),
            Column("reason", pa.string(), "reason", "a stable code: why they were refused"),
            Column("messages", pa.int64(), "messages"),
            Column("replayed", pa.int64(), "replayed", "of these: sent again since"),
        ),
        ("messages",),
    ),
    _of_table(past.past_transactions, "past_transactions", "event_time"),
    _of_table(past.past_labels, "past_labels", "labelled_at"),
)
