"""Thins rollups: windows of seconds become minutes, and minutes become hours. Every sum over whole hours stays.

An hour by product and segment has nearly a row an order's line, so that those of `segment_sales` become days.

Times are counted from a table's newest window, so that a shop that rests, or a replayed past, keeps its fine windows.
A late transaction, or one that is taken back, adds a window of seconds again, which the next run merges.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from fraudstream.retention.tables import ROLLUP_SUMS, Retired
from fraudstream.settings.retention import RetentionSettings
from fraudstream.storage.connect import Postgres

HOUR = timedelta(hours=1)
_ORIGIN = "timestamptz '2000-01-01 00:00:00+00'"
_WAIT_FOR_LOCKS = "SET LOCAL lock_timeout = '30s'"
_NEWEST = "SELECT max(window_start) FROM fraud.{table} WHERE window_start <= now()"
_OLDEST = """
SELECT date_bin('1 hour', min(window_start), {origin}) FROM fraud.{table}
WHERE {finer} AND window_start >= %(since)s AND window_start < %(until)s
"""
_COUNT = "SELECT count(*) FROM fraud.{table} WHERE {finer} AND window_start < %(until)s"
# The insert reads what the delete returns, and so comes after it: a window's start may be that of one that goes, or of
# one as wide or wider, which stays. A day is merged hour by hour, so that a commit never waits for the whole of it.
_MERGE = """
WITH gone AS (
    DELETE FROM fraud.{table}
    WHERE window_start >= %(since)s AND window_start < %(until)s AND seconds < {width} RETURNING *
), merged AS (
    INSERT INTO fraud.{table} AS wider ({columns}, seconds)
    SELECT {selected}, {width} FROM gone GROUP BY {grouped}
    ON CONFLICT ({key}) DO UPDATE SET {added}
)
SELECT count(*) FROM gone
"""
_MOVE_HORIZON = """
INSERT INTO fraud.rollup_horizons AS h (table_name, thinned_until) VALUES (%s, %s)
ON CONFLICT (table_name) DO UPDATE SET thinned_until = greatest(h.thinned_until, excluded.thinned_until)
"""
# The stream goes on with the day in which an imported past ends: as a whole, it couldn't be told apart again.
_OF_ONE_BOOK = f"""date_bin('1 day', window_start, {_ORIGIN}) NOT IN (
    SELECT date_bin('1 day', rollups_until, {_ORIGIN}) FROM fraud.history_imports)"""  # noqa: S608 (constants)


@dataclass(frozen=True)
class Rollup:
    """A rollup: columns that tell its rows of a window apart, and how those that aren't added up are merged.

    `finer` are the widths that it is thinned to, each with the condition that its indices know narrower windows by.
    """

    table: str
    keys: tuple[str, ...] = ()
    others: dict[str, str] = field(default_factory=dict)
    finer: Mapping[int, str] = field(
        default_factory=lambda: {60: "seconds < 60", 3600: "(seconds < 60 OR seconds = 60)"}
    )

    def merge(self, width: int) -> str:
        """SQL: merges the windows from `since` until `until` into such of `width` seconds."""
        start = f"date_bin('{width} seconds', window_start, {_ORIGIN})"
        sums = ROLLUP_SUMS[self.table]
        merged = {name: f"sum({name})" for name in sums} | self.others
        return _MERGE.format(
            table=self.table,
            columns=", ".join(("window_start", *self.keys, *merged)),
            selected=", ".join((start, *self.keys, *merged.values())),
            grouped=", ".join(("1", *self.keys)),
            key=", ".join(("window_start", *self.keys)),
            added=", ".join(f"{name} = wider.{name} + excluded.{name}" for name in sums),
            width=width,
        )


ROLLUPS = (
    Rollup("fraud_counts", ("shop",)),
    Rollup("segment_counts", ("shop", "shipping_country", "payment_method", "decision"), finer={3600: "seconds = 900"}),
    Rollup("product_sales", ("product_id", "shop"), {"batch_id": "max(batch_id)"}),
    Rollup(
        "segment_sales",
        ("product_id", "shop", "shipping_country", "payment_method", "decision"),
        finer={86_400: f"seconds = 3600 AND {_OF_ONE_BOOK}"},
    ),
    Rollup(
        "fraud_locations",
        ("shipping_country", "shipping_city", "shop"),
        {"latitude": "avg(latitude)", "longitude": "avg(longitude)"},
    ),
)


def count(connection: Postgres, keep: RetentionSettings) -> Iterator[Retired]:
    """Counts the windows that would be merged, and changes nothing. Raises psycopg.Error."""
    for rollup in ROLLUPS:
        for width, until in _ends(connection, rollup, keep):
            counting = _COUNT.format(table=rollup.table, finer=rollup.finer[width])
            rows = connection.execute(counting.encode(), {"until": until}).fetchall()
            yield Retired(_told(rollup, width), rows[0][0])


def thin(connection: Postgres, keep: RetentionSettings) -> Iterator[Retired]:
    """Merges old windows, an hour in a transaction, over an autocommitting connection. Raises psycopg.Error."""
    for rollup in ROLLUPS:
        for width, until in _ends(connection, rollup, keep):
            with connection.transaction():  # what is published of a window ends before it is thinned
                connection.execute(_MOVE_HORIZON, (rollup.table, until))
            yield Retired(_told(rollup, width), _thin(connection, rollup, width, until))


def _thin(connection: Postgres, rollup: Rollup, width: int, until: datetime) -> int:
    finding = _OLDEST.format(table=rollup.table, finer=rollup.finer[width], origin=_ORIGIN).encode()
    merging = rollup.merge(width).encode()
    rows, since = 0, datetime.min.replace(tzinfo=until.tzinfo)
    while hour := connection.execute(finding, {"since": since, "until": until}).fetchall()[0][0]:
        since = hour + HOUR
        with connection.transaction():
            connection.execute(_WAIT_FOR_LOCKS)
            rows += connection.execute(merging, {"since": hour, "until": since}).fetchall()[0][0]
    return rows


def _ends(connection: Postgres, rollup: Rollup, keep: RetentionSettings) -> Iterator[tuple[int, datetime]]:
    """Widths in seconds, each with the whole hour or day before which windows get it; nothing without a window."""
    newest = connection.execute(_NEWEST.format(table=rollup.table).encode()).fetchall()[0][0]
    if newest is None:
        return
    fine, minutes = timedelta(hours=keep.rollups_fine_hours), timedelta(days=keep.rollups_minutes_days)
    for width in rollup.finer:
        until = (newest - (minutes if width == 3600 else fine)).astimezone(UTC)
        until = until.replace(minute=0, second=0, microsecond=0)
        yield width, until.replace(hour=0) if width == 86_400 else until


def _told(rollup: Rollup, width: int) -> str:
    return f"{rollup.table} to { {60: 'minutes', 3600: 'hours', 86_400: 'days'}[width] }"
