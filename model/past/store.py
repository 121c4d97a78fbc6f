"""What an import leaves in Postgres: the past's transactions for entity risk, its rollups, and a note of itself.

All within the caller's transaction. The stream's books stay true: what is added to a rollup is taken off
`fraud.retired_totals`, so that both together are the stream's own; and `history_imports.rollups_until` tells the
comparison of hours where the stream's own begin.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.csv
from psycopg import Connection
from psycopg.rows import class_row

from fraudstream.ledger.comparison import BEGINNING, HOUR
from fraudstream.retention.tables import ROLLUP_SUMS
from model.past.rollups import PER_UNIT

Postgres = Connection[Any]
#: Batch of the windows of `product_sales` that no micro-batch wrote.
NO_BATCH = -1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHUNK_ROWS = 50_000
_IMPORTED = "SELECT fingerprint, folder, snapshot, rollups_until, imported_at FROM fraud.history_imports"
_FIRST_WINDOW = """
SELECT least(
    (SELECT min(window_start) FROM fraud.fraud_counts WHERE window_start >= %(since)s),
    (SELECT min(window_start) FROM fraud.segment_counts WHERE window_start >= %(since)s),
    (SELECT min(window_start) FROM fraud.fraud_locations WHERE window_start >= %(since)s),
    (SELECT min(window_start) FROM fraud.product_sales WHERE window_start >= %(since)s),
    (SELECT min(window_start) FROM fraud.segment_sales WHERE window_start >= %(since)s),
    (SELECT min(event_time) FROM fraud.scored_transactions WHERE event_time >= %(since)s)
)
"""
_HORIZON = """
INSERT INTO fraud.rollup_horizons AS h (table_name, thinned_until) VALUES (%s, %s)
ON CONFLICT (table_name) DO UPDATE SET thinned_until = greatest(h.thinned_until, excluded.thinned_until)
"""
_NOTE = """
INSERT INTO fraud.history_imports (fingerprint, folder, snapshot, first_event, last_event, customers, browse_events,
    transactions, labels, rollups_until) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_ADD_TO_TOTALS = """
INSERT INTO fraud.retired_totals AS t (table_name, figure, total) VALUES (%s, %s, %s)
ON CONFLICT (table_name, figure) DO UPDATE SET total = t.total + excluded.total
"""
#: Columns that the staged windows have in PER_UNIT parts.
_MONEY = frozenset({"amount", "flagged_amount", "revenue"})
_SEGMENT = ("shipping_country", "payment_method", "decision")
_LOCATION = ("shipping_country", "shipping_city", "latitude", "longitude")
#: Each rollup's columns besides its window, as they are staged.
_WINDOWS = {
    "fraud_counts": ("shop", *ROLLUP_SUMS["fraud_counts"]),
    "segment_counts": ("shop", *_SEGMENT, *ROLLUP_SUMS["segment_counts"]),
    "fraud_locations": ("shop", *_LOCATION, *ROLLUP_SUMS["fraud_locations"]),
    "product_sales": ("shop", "product_id", *ROLLUP_SUMS["product_sales"]),
    "segment_sales": ("shop", *_SEGMENT, "product_id", *ROLLUP_SUMS["segment_sales"], "seconds"),
}
_TYPES = dict.fromkeys(("shop", "product_id", "shipping_city", *_SEGMENT), "text") | dict.fromkeys(
    ("latitude", "longitude"), "float8"
)


_SUMMARY = """
SELECT format('%s transactions and %s browsing events of %s customers with a profile, %s labels, from %s to %s UTC',
    transactions, browse_events, customers, labels, to_char(first_event AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'),
    to_char(last_event AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')) FROM fraud.history_imports
"""


@dataclass(frozen=True)
class Imported:
    """The past that the platform has."""

    fingerprint: str
    folder: str
    snapshot: str
    rollups_until: datetime
    imported_at: datetime


@dataclass(frozen=True)
class Note:
    """What is kept of an import. Times in milliseconds since the epoch."""

    fingerprint: str
    folder: str
    snapshot: str
    first_ms: int
    last_ms: int
    customers: int
    browse_events: int
    transactions: int
    labels: int


def imported(connection: Postgres) -> Imported | None:
    """The past that the platform has, if it has one."""
    with connection.cursor(row_factory=class_row(Imported)) as cursor:
        return cursor.execute(_IMPORTED).fetchone()


def summary(connection: Postgres) -> str:
    """Tells of the past that the platform has, for people."""
    row = connection.execute(_SUMMARY).fetchone()
    return str(row[0]) if row else "no past"


def forget_transactions(connection: Postgres) -> None:
    """Takes out the transactions of an imported past, and the note of it."""
    connection.execute("DELETE FROM fraud.past_transactions")  # its labels go with it
    connection.execute("DELETE FROM fraud.history_imports")


def forget_rollups(connection: Postgres, past: Imported) -> None:
    """Takes out the windows before `rollups_until` of a past, with what the stream has added to them since.

    What goes is added to `retired_totals`, as retention does.
    """
    for table, sums in ROLLUP_SUMS.items():
        gone = ", ".join(f"coalesce(sum({name}), 0)" for name in sums)
        deleting = (
            f"WITH gone AS (DELETE FROM fraud.{table} WHERE window_start < %s RETURNING *) SELECT {gone} FROM gone"  # noqa: S608 (constants)
        )
        totals = connection.execute(deleting.encode(), (past.rollups_until,)).fetchall()[0]
        for name, total in zip(sums, totals, strict=True):
            connection.execute(_ADD_TO_TOTALS, (table, name, total))


def insert_transactions(connection: Postgres, tables: list[pa.Table], labels: pa.Table) -> None:
    """Copies transactions (of `transactions.slim`), and their labels (of `transactions.Labels`)."""
    for table in tables:
        _copy(connection, f"fraud.past_transactions ({', '.join(table.column_names)})", table)
    _copy(connection, f"fraud.past_labels ({', '.join(labels.column_names)})", labels)


def stage_rollups(connection: Postgres, windows: dict[str, pa.Table]) -> None:
    """Copies windows (of `Rollups.windows`) to where `insert_rollups` finds them: the stream isn't kept waiting."""
    for table, columns in _WINDOWS.items():
        typed = ", ".join(f"{name} {_TYPES.get(name, 'bigint')}" for name in ("hour", *columns))
        connection.execute(f"CREATE TEMPORARY TABLE past_{table} ({typed}) ON COMMIT DROP".encode())
        found = windows[table].select(["hour", *columns])
        _copy(connection, f"past_{table} ({', '.join(found.column_names)})", found)


def insert_rollups(connection: Postgres, last_ms: int, now: datetime, replaced: Imported | None) -> datetime:
    """Inserts the staged windows before the first hour that the stream has something of, or day that it has merged.

    Returns until when windows are a past's: this one's, or that of the past that it replaced. The hour of `now` is left
    to the stream.
    """
    since = replaced.rollups_until if replaced else BEGINNING
    ((first,),) = connection.execute(_FIRST_WINDOW, {"since": since}).fetchall()
    ended = _EPOCH + timedelta(milliseconds=last_ms)
    until = min(_hour(ended) + HOUR, _hour(now), *([_hour(first)] if first else []))
    for table, columns in _WINDOWS.items():
        added = connection.execute(_inserting(table).encode(), (until,)).fetchall()[0]
        for name, total in zip(ROLLUP_SUMS[table], added, strict=True):
            connection.execute(_ADD_TO_TOTALS, (table, name, -total))
        by_day = "seconds" in columns
        connection.execute(_HORIZON, (table, until.replace(hour=0) if by_day else until))
    return max(until, since)


def _inserting(table: str) -> str:
    """SQL: inserts the staged windows of a rollup that end by a time. Returns their sums."""
    columns, sums = _WINDOWS[table], ROLLUP_SUMS[table]
    values = [f"round({name} / {PER_UNIT}.0, 4)" if name in _MONEY else name for name in columns]
    more = {"batch_id": str(NO_BATCH)} if table == "product_sales" else {}
    more |= {} if "seconds" in columns else {"seconds": "3600"}
    width = "seconds" if "seconds" in columns else "3600"
    return f"""
        WITH past AS (
            INSERT INTO fraud.{table} ({", ".join(("window_start", *columns, *more))})
            SELECT to_timestamp(hour * 3600), {", ".join([*values, *more.values()])} FROM past_{table}
            WHERE to_timestamp(hour * 3600 + {width}) <= %s
            RETURNING *
        )
        SELECT {", ".join(f"coalesce(sum({name}), 0)" for name in sums)} FROM past
    """  # noqa: S608 (constants)


def note(connection: Postgres, what: Note, rollups_until: datetime) -> None:
    """Notes the import."""
    span = (_EPOCH + timedelta(milliseconds=at) for at in (what.first_ms, what.last_ms))
    counts = (what.customers, what.browse_events, what.transactions, what.labels)
    connection.execute(_NOTE, (what.fingerprint, what.folder, what.snapshot, *span, *counts, rollups_until))


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _copy(connection: Postgres, target: str, table: pa.Table) -> None:
    options = pyarrow.csv.WriteOptions(include_header=False)
    with connection.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN (FORMAT csv)".encode()) as copy:
        for batch in table.to_batches(_CHUNK_ROWS):
            sink = pa.BufferOutputStream()
            pyarrow.csv.write_csv(batch, sink, options)
            copy.write(sink.getvalue().to_pybytes())
