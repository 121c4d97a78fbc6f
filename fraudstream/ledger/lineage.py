"""What the stream read and wrote, an hour of the ledger at a time: topics, and tables with their columns' sources.

A column that is named as a field of the message follows from it. What a score and a decision follow from is every field
of the purchase and of the browsing: which of them counted, the model says. A shop's own topics, of another form, are
told without their fields.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from fraudstream.messages.contracts import QUERY, BrowseEvent, Label, Topic, Transaction
from fraudstream.storage.connect import Postgres
from fraudstream.storage.tables import results

HOUR = timedelta(hours=1)
#: A field of a message: its topic and its name.
Source = tuple[str, str]
_MESSAGES: dict[Topic, type[Struct]] = {
    Topic.BROWSE_EVENTS: BrowseEvent,
    Topic.TRANSACTIONS: Transaction,
    Topic.TRANSACTION_LABELS: Label,
}
_READ = """
SELECT topic, sum((range ->> 1)::bigint - (range ->> 0)::bigint)::bigint
FROM fraud.stream_batches, jsonb_each(offsets) AS topics (topic, partitions),
    jsonb_each(partitions) AS partitions (partition, range)
WHERE query = %(query)s AND committed_at >= %(begin)s AND committed_at < %(end)s
GROUP BY topic ORDER BY topic
"""
_WRITTEN = """
SELECT coalesce(sum(scored), 0)::bigint, coalesce(sum(labels), 0)::bigint, coalesce(sum(dead_lettered), 0)::bigint
FROM fraud.stream_batches WHERE query = %(query)s AND committed_at >= %(begin)s AND committed_at < %(end)s
"""


@dataclass(frozen=True)
class Read:
    """A topic, the fields of its messages, none of which is known of another form, and how many were read."""

    topic: str
    fields: tuple[str, ...]
    messages: int


@dataclass(frozen=True)
class Written:
    """A table, its columns' types, what each follows from, and how many rows were written, where the ledger says it."""

    table: str
    columns: dict[str, str]
    sources: dict[str, tuple[Source, ...]]
    rows: int | None = None


@dataclass(frozen=True)
class Hour:
    """What the stream did in the hour from `begin` on."""

    begin: datetime
    reads: tuple[Read, ...]
    writes: tuple[Written, ...]

    @property
    def end(self) -> datetime:
        """When it is over."""
        return self.begin + HOUR


def hours(connection: Postgres, since: datetime, until: datetime) -> Iterator[Hour]:
    """The whole hours from `since`, the beginning of one, until `until`, in which the stream committed anything.

    Raises psycopg.Error.
    """
    begin = since
    while begin + HOUR <= until:
        values = {"query": QUERY, "begin": begin, "end": begin + HOUR}
        read = connection.execute(_READ, values).fetchall()
        if read:
            ((scored, labels, dead),) = connection.execute(_WRITTEN, values).fetchall()
            rows = {"scored_transactions": scored, "transaction_labels": labels, "dead_letters": dead}
            reads = tuple(Read(topic, _fields(topic), messages) for topic, messages in read)
            yield Hour(begin, reads, tuple(_written({topic for topic, _ in read}, rows)))
        begin += HOUR


def _fields(topic: str) -> tuple[str, ...]:
    message = _MESSAGES.get(Topic(topic)) if topic in set(Topic) else None
    return tuple(name for name in message.__struct_fields__ if name != "schema_version") if message else ()


def _of(topic: Topic, *names: str) -> tuple[Source, ...]:
    return tuple((topic.value, name) for name in names)


def _of_purchase(*names: str) -> tuple[Source, ...]:
    return _of(Topic.TRANSACTIONS, *names)


_CONVERTED = _of_purchase("amount", "currency", "event_time")
_JUDGED = _of_purchase(*_fields(Topic.TRANSACTIONS)) + _of(Topic.BROWSE_EVENTS, *_fields(Topic.BROWSE_EVENTS))
_SCORE = dict.fromkeys(("fraud_score", "reasons", "decision", "matched_rules"), _JUDGED)
_COUNTS = {
    "window_start": _of_purchase("event_time"),
    "transactions": _of_purchase("transaction_id"),
    "amount": _CONVERTED,
    "unpriced": _of_purchase("currency", "event_time"),
    "flagged": _JUDGED,
    "flagged_amount": _CONVERTED + _JUDGED,
    "flagged_unpriced": _JUDGED,
}
_SALES_VERDICT = _JUDGED + _of(Topic.TRANSACTION_LABELS, "transaction_id", "is_fraud", "labelled_at")
_SALES = {
    "window_start": _of_purchase("event_time"),
    "product_id": _of_purchase("items"),
    "units": _of_purchase("items") + _SALES_VERDICT,
    "revenue": _of_purchase("items", "currency", "event_time") + _SALES_VERDICT,
}
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's isn't typed
#: The tables that the stream writes, whose fields their columns are named after, and what other columns follow from.
_TABLES: tuple[tuple[Table, Topic | None, dict[str, tuple[Source, ...]]], ...] = (
    (
        results.scored_transactions,
        Topic.TRANSACTIONS,
        {**_SCORE, "is_fraud": _JUDGED, "exchange_rate": _of_purchase("currency", "event_time")},
    ),
    (results.fraud_alerts, Topic.TRANSACTIONS, {**_SCORE, "status": _of(Topic.TRANSACTION_LABELS, "is_fraud")}),
    (results.fraud_counts, Topic.TRANSACTIONS, _COUNTS),
    (results.segment_counts, Topic.TRANSACTIONS, _COUNTS | {"decision": _JUDGED}),
    (
        results.fraud_locations,
        Topic.TRANSACTIONS,
        {name: _COUNTS[name] for name in ("window_start", "flagged", "flagged_amount")}
        | {"latitude": _of_purchase("shipping_latitude"), "longitude": _of_purchase("shipping_longitude")},
    ),
    (results.product_sales, Topic.TRANSACTIONS, _SALES),
    (results.segment_sales, Topic.TRANSACTIONS, _SALES | {"decision": _JUDGED}),
    (results.flagged_sessions, Topic.TRANSACTIONS, {}),
    (results.transaction_labels, Topic.TRANSACTION_LABELS, {}),
    (results.dead_letters, None, {}),
)


def _written(read: Iterable[str], rows: dict[str, int]) -> Iterator[Written]:
    """The tables, with sources among the topics that were read."""
    known = set(read)
    for table, topic, made in _TABLES:
        fields = _fields(topic) if topic else ()
        named = {name: _of(topic, name) for name in table.columns.keys() if topic and name in fields}  # noqa: SIM118 (a collection of SQLAlchemy's)
        sources = {
            column: tuple(dict.fromkeys(source for source in of if source[0] in known))
            for column, of in (named | made).items()
        }
        yield Written(
            table.name,
            {column.name: column.type.compile(_DIALECT) for column in table.columns},
            {column: of for column, of in sources.items() if of},
            rows.get(table.name),
        )
