"""Comparisons of the ledger with the tables: a range of micro-batches, or an hour of event time, at a time.

Each statement reads its range alone, by an index, so that its cost doesn't grow with history. An hour is the smallest
range whose bounds all rollups share.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg.rows import DictRow, dict_row

from fraudstream.ledger.differences import Difference
from fraudstream.storage.connect import Postgres
from fraudstream.storage.expressions import ALERTED, FLAGGED, PLACED, SHOP_AMOUNT, SHOP_PRICE
from fraudstream.storage.tables.results import COUNT_SUMS

#: A batch is published right after its commit; what is unpublished for longer waits for a driver that is gone.
PUBLISHED_WITHIN = "60 seconds"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
#: Differing products of one hour that are named.
PRODUCTS = 20

# The query's name leads the primary key of the ledger.
_LEDGER = "fraud.stream_batches WHERE query IN (SELECT query FROM fraud.stream_offsets)"
# One look into the index for each bound.
_BATCH_IDS = """
    SELECT coalesce(min((SELECT min(batch_id) FROM fraud.stream_batches AS b WHERE b.query = q.query)), 0),
           coalesce(max((SELECT max(batch_id) FROM fraud.stream_batches AS b WHERE b.query = q.query)), -1)
    FROM (SELECT DISTINCT query FROM fraud.stream_offsets) AS q
"""
_TABLES = {"scored": "scored_transactions", "dead_lettered": "dead_letters", "labels": "transaction_labels"}
_BATCHES = """
    WITH ledger AS (
        SELECT batch_id, offsets, scored, dead_lettered, labels FROM {ledger} AND {range}
    ),
    {tables}
    SELECT batch_id, offsets, {columns}
    FROM ledger {joins}
    WHERE NOT ({agreement})
    ORDER BY batch_id
""".format(  # noqa: S608 (constants)
    ledger=_LEDGER,
    range="batch_id >= %(begin)s AND batch_id < %(end)s",
    tables=",\n    ".join(
        f"of_{name} AS (SELECT batch_id, count(*) AS rows FROM fraud.{table}"  # noqa: S608 (constants)
        " WHERE batch_id >= %(begin)s AND batch_id < %(end)s GROUP BY batch_id)"
        for name, table in _TABLES.items()
    ),
    columns=", ".join(f"{name}, coalesce(of_{name}.rows, 0) AS rows_{name}" for name in _TABLES),
    joins=" ".join(f"LEFT JOIN of_{name} USING (batch_id)" for name in _TABLES),
    agreement=" AND ".join(f"{name} = coalesce(of_{name}.rows, 0)" for name in _TABLES),
)
_COMMITTED = f"SELECT committed_at FROM {_LEDGER} AND batch_id = %s"  # noqa: S608 (constants)
_UNPUBLISHED = f"""
    SELECT batch_id, offsets FROM {_LEDGER} AND published_at IS NULL
        AND committed_at < now() - interval '{PUBLISHED_WITHIN}'
    ORDER BY batch_id LIMIT 20
"""  # noqa: S608 (constants)
#: Until when windows may be gone for their age, or may be those of an imported past, which has no rows.
_NOT_OURS = """
    SELECT greatest(
        (SELECT max(deleted_until) FROM fraud.rollup_horizons),
        (SELECT max(rollups_until) FROM fraud.history_imports)
    )
"""
_NEXT_TIME = """
    SELECT least(
        (SELECT min(event_time) FROM fraud.scored_transactions WHERE event_time >= %(since)s),
        (SELECT min(window_start) FROM fraud.fraud_counts WHERE window_start >= %(since)s),
        (SELECT min(window_start) FROM fraud.segment_counts WHERE window_start >= %(since)s),
        (SELECT min(window_start) FROM fraud.fraud_locations WHERE window_start >= %(since)s),
        (SELECT min(window_start) FROM fraud.product_sales WHERE window_start >= %(since)s),
        (SELECT min(window_start) FROM fraud.segment_sales WHERE window_start >= %(since)s)
    )
"""
_RANGE = "{} >= %(begin)s AND {} < %(end)s"
_EVENTS, _WINDOWS = (_RANGE.format(column, column) for column in ("event_time", "window_start"))


def _counted(table: str) -> str:
    """SQL: the sums of a rollup of counts, each under its table's name."""
    return ", ".join(f"coalesce(sum({name}), 0) AS {table}_{name}" for name in COUNT_SUMS)


_ROLLUPS = f"""
    SELECT * FROM
        (SELECT count(*) AS transactions, count(*) FILTER (WHERE {FLAGGED}) AS flagged,
            count(*) FILTER (WHERE {ALERTED}) AS alerted,
            coalesce(sum({SHOP_AMOUNT}), 0) AS amount,
            coalesce(sum({SHOP_AMOUNT}) FILTER (WHERE {FLAGGED}), 0) AS flagged_amount,
            count(*) FILTER (WHERE exchange_rate IS NULL) AS unpriced,
            count(*) FILTER (WHERE exchange_rate IS NULL AND {FLAGGED}) AS flagged_unpriced,
            count(*) FILTER (WHERE {FLAGGED} AND {PLACED}) AS placed_flagged,
            coalesce(sum({SHOP_AMOUNT}) FILTER (WHERE {FLAGGED} AND {PLACED}), 0) AS placed_flagged_amount
         FROM fraud.scored_transactions WHERE {_EVENTS}) AS rows,
        (SELECT {_counted("fraud_counts")} FROM fraud.fraud_counts WHERE {_WINDOWS}) AS counts,
        (SELECT {_counted("segment_counts")} FROM fraud.segment_counts WHERE {_WINDOWS}) AS segments,
        (SELECT coalesce(sum(flagged), 0)::bigint AS fraud_locations_flagged,
            coalesce(sum(flagged_amount), 0) AS fraud_locations_flagged_amount
         FROM fraud.fraud_locations WHERE {_WINDOWS}) AS locations,
        (SELECT count(*) AS fraud_alerts_alerted FROM fraud.fraud_alerts WHERE {_EVENTS}) AS alerts
"""  # noqa: S608 (constants)
_SOLD = "coalesce(sum(units), 0) AS {name}units, coalesce(sum(revenue), 0) AS {name}revenue"
#: Whether the segments' sales may have been merged to days.
_IN_DAYS = """EXISTS (
        SELECT FROM fraud.rollup_horizons WHERE table_name = 'segment_sales' AND thinned_until > %(begin)s)"""
_SALES = f"""
    WITH sold AS (
        SELECT item.product_id, sum(item.quantity) AS units, sum(item.quantity * {SHOP_PRICE}) AS revenue
        FROM fraud.scored_transactions,
            jsonb_to_recordset(items) AS item (product_id text, quantity bigint, unit_price numeric)
        WHERE counted_in_sales AND {_EVENTS}
        GROUP BY 1
    ), held AS (
        SELECT product_id, sum(units) AS units, sum(revenue) AS revenue
        FROM fraud.product_sales WHERE {_WINDOWS} GROUP BY 1
    ), differing AS (
        SELECT product_id, coalesce(held.units, 0) AS held_units, coalesce(sold.units, 0) AS units,
            coalesce(held.revenue, 0) AS held_revenue, coalesce(sold.revenue, 0) AS revenue
        FROM sold FULL JOIN held USING (product_id)
        WHERE coalesce(held.units, 0) <> coalesce(sold.units, 0)
            OR coalesce(held.revenue, 0) <> coalesce(sold.revenue, 0)
        ORDER BY product_id LIMIT {PRODUCTS}
    )
    TABLE differing UNION ALL
    SELECT NULL, held_units, units, held_revenue, revenue
    FROM (SELECT {_SOLD.format(name="held_")} FROM fraud.segment_sales WHERE {_WINDOWS}) AS segments,
        (SELECT {_SOLD.format(name="")} FROM sold) AS rows
    WHERE NOT {_IN_DAYS}
"""  # noqa: S608 (constants)
#: Of windows that may be days the whole day; `product_sales` is compared with the rows hour by hour.
_DAY_SALES = f"""
    SELECT held_units, units, held_revenue, revenue
    FROM (SELECT {_SOLD.format(name="held_")} FROM fraud.segment_sales WHERE {_WINDOWS}) AS segments,
        (SELECT {_SOLD.format(name="")} FROM fraud.product_sales WHERE {_WINDOWS}) AS sales
    WHERE {_IN_DAYS}
"""  # noqa: S608 (constants)
#: Each rollup's sum, and the sum of the rows that it must equal; those of counts have the same names.
_SUMS = (
    *((table, name, name) for table in ("fraud_counts", "segment_counts") for name in COUNT_SUMS),
    ("fraud_locations", "flagged", "placed_flagged"),
    ("fraud_locations", "flagged_amount", "placed_flagged_amount"),
    ("fraud_alerts", "alerted", "alerted"),
)


def batch_ids(connection: Postgres) -> tuple[int, int]:
    """The first and the last batch that the ledger holds; 0 and -1 when it holds none."""
    first, last = connection.execute(_BATCH_IDS).fetchall()[0]
    return first, last


def batches(connection: Postgres, begin: int, end: int) -> Iterator[Difference]:
    """Compares what the ledger says of the batches from `begin` until `end` with the rows of each."""
    for batch in _rows(connection, _BATCHES, begin=begin, end=end):
        for column, table in _TABLES.items():
            ledger, rows = batch[column], batch[f"rows_{column}"]
            if ledger != rows:
                yield Difference(
                    f"batch {batch['batch_id']} {table} {rows}/{ledger}",
                    f"{_name(batch)}: fraud.{table} has {rows} rows of it, and the ledger says {ledger}",
                )


def unpublished(connection: Postgres) -> list[str]:
    """Batches whose results wait for a driver that publishes them, the first 20."""
    said = f"committed more than {PUBLISHED_WITHIN} ago, and not published to Kafka"
    return [f"{_name(batch)}: {said}" for batch in _rows(connection, _UNPUBLISHED)]


def first_hour(connection: Postgres) -> datetime:
    """The first hour of which neither a row nor a window can have been deleted for its age, nor a window imported.

    Rows go after their batch. An event may be dated a little after its arrival, never an hour. Windows that retention
    merged stay within their hour.
    """
    first, committed_at = _first_batch(connection)
    ((until,),) = connection.execute(_NOT_OURS).fetchall()
    return max(until or BEGINNING, _hour_of(committed_at) + 2 * HOUR if first else BEGINNING)


def _first_batch(connection: Postgres) -> tuple[int, datetime]:
    first, _ = batch_ids(connection)
    found = connection.execute(_COMMITTED, (first,)).fetchone()
    return (first, found[0]) if found else (0, BEGINNING)


def next_hour(connection: Postgres, since: datetime) -> datetime | None:
    """The first hour from `since` on that any table has something of."""
    ((found,),) = connection.execute(_NEXT_TIME, {"since": since}).fetchall()
    return _hour_of(found) if found else None


def hour(connection: Postgres, begin: datetime) -> tuple[int, list[Difference]]:
    """Compares the rollups of an hour with its rows. Returns how many rows it has, and the differences."""
    [found] = _rows(connection, _ROLLUPS, begin=begin, end=begin + HOUR)
    name = f"hour {begin:%Y-%m-%dT%HZ}"
    differences = [
        _difference(name, f"fraud.{table}", column, found[f"{table}_{column}"], found[expected])
        for table, column, expected in _SUMS
        if found[f"{table}_{column}"] != found[expected]
    ]
    for sold in _rows(connection, _SALES, begin=begin, end=begin + HOUR):
        product = sold["product_id"]
        place = "fraud.segment_sales" if product is None else f"fraud.product_sales of {product}"
        differences += _of_sales(name, place, sold, "the rows give")
    if begin == _hour_of(begin).replace(hour=0):
        for sold in _rows(connection, _DAY_SALES, begin=begin, end=begin + DAY):
            differences += _of_sales(f"day {begin:%Y-%m-%d}", "fraud.segment_sales", sold, "fraud.product_sales has")
    return found["transactions"], differences


def _of_sales(name: str, place: str, sold: DictRow, other: str) -> Iterator[Difference]:
    for column in ("units", "revenue"):
        held, expected = sold[f"held_{column}"], sold[column]
        if held != expected:
            yield _difference(name, place, column, held, expected, other)


def _hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _difference(
    name: str, place: str, column: str, held: Decimal, expected: Decimal, other: str = "the rows give"
) -> Difference:
    return Difference(
        f"{name} {place} {column} {held - expected:+}",
        f"{name}: {place} has {held} {column}, and {other} {expected}",
    )


def _rows(connection: Postgres, query: str, **parameters: Any) -> list[DictRow]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters).fetchall()


def _name(batch: DictRow) -> str:
    return f"batch {batch['batch_id']} ({_ranges(batch['offsets'])})"


def _ranges(offsets: dict[str, dict[str, tuple[int, int]]]) -> str:
    return ", ".join(
        f"{topic}/{partition} {start} to {until - 1}"
        for topic, partitions in sorted(offsets.items())
        for partition, (start, until) in sorted(partitions.items())
        if until > start
    )
