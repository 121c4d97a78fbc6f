"""A shop with known sums, and what the dashboards' charts say of it: each chart's own query, with its rights.

The clock is the tests': a function `fraud.now()` in the place of Postgres' own. Nothing stays, not even that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from testbed.dashboards import CHARTS, NOTHING_ASKED, Asked, query_of, statement

Postgres = psycopg.Connection[tuple[object, ...]]
Row = dict[str, Any]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

#: What the charts read.
TABLES = (
    *("fraud_alerts", "scored_transactions", "products", "product_sales", "fraud_counts", "fraud_locations"),
    *("segment_counts", "segment_sales", "rollup_horizons", "stream_batches", "platform_readings", "incidents"),
    *("analyst_verdicts", "rule_counts", "model_health", "model_breaches", "model_versions"),
)
CATEGORIES, PRODUCTS = 30, 40
#: What happens in every window of 10 s, until the end of the newest transaction's minute.
TRANSACTIONS, FLAGGED, AMOUNT, FLAGGED_AMOUNT = 20, 2, 1000, 150
#: What is sold in every window of 30 s. Product n sells 50 - n units for n + 1 each.
UNITS = sum(50 - n for n in range(PRODUCTS))
REVENUE = sum((50 - n) * (n + 1) for n in range(PRODUCTS))

CLOCK = """
CREATE FUNCTION fraud.now() RETURNS timestamptz STABLE LANGUAGE sql AS $$ SELECT timestamptz '{now}' $$;
GRANT EXECUTE ON FUNCTION fraud.now() TO fraud_charts;
SET LOCAL search_path = fraud, pg_catalog
"""
CATALOGUE = """
INSERT INTO fraud.products
SELECT 'p' || n, CASE WHEN n < 2 THEN 'Twin' ELSE 'Product ' || n END, 'Category ' || n %% %(categories)s, n + 1
FROM generate_series(0, %(products)s - 1) AS n
"""
COUNTS = """
INSERT INTO fraud.fraud_counts (window_start, transactions, flagged, amount, flagged_amount)
SELECT %(until)s - n * interval '10 seconds', %(transactions)s, %(flagged)s, %(amount)s, %(flagged_amount)s
FROM generate_series(1, 70 * 6) AS n
"""
SALES = """
INSERT INTO fraud.product_sales (window_start, product_id, units, revenue, batch_id)
SELECT %(until)s - w * interval '30 seconds', 'p' || n, 50 - n, (50 - n) * (n + 1), 1
FROM generate_series(1, 70 * 2) AS w, generate_series(0, %(products)s - 1) AS n
"""
PLACES = """
INSERT INTO fraud.fraud_locations
    (window_start, shipping_country, shipping_city, latitude, longitude, flagged, flagged_amount)
SELECT %(until)s - w * interval '1 minute', 'FR', 'City ' || n, 45, n / 1000.0, %(flagged)s, %(flagged_amount)s
FROM generate_series(1, 70) AS w, generate_series(1, 6) AS n
"""


class Shop:
    """The schema's tables within a transaction that is rolled back, and what the charts make of them."""

    def __init__(self, connection: Postgres) -> None:
        self._connection = connection

    def run(self, statement: str, **values: object) -> None:
        """Changes the tables, as their owner."""
        self._connection.execute("SET LOCAL ROLE fraud_owner")
        self._connection.execute(statement.encode(), values)

    def value(self, query: str, **values: object) -> Any:
        """The first column of the first row of a query, as the tables' owner."""
        self._connection.execute("SET LOCAL ROLE fraud_owner")
        return self._connection.execute(query.encode(), values).fetchall()[0][0]

    def trade(self, newest: datetime) -> None:
        """70 minutes of the same sales and frauds in every window, until the end of the minute of `newest`."""
        until = newest.replace(second=0, microsecond=0) + timedelta(minutes=1)
        self.run(CATALOGUE, categories=CATEGORIES, products=PRODUCTS)
        self.run(
            COUNTS,
            until=until,
            transactions=TRANSACTIONS,
            flagged=FLAGGED,
            amount=AMOUNT,
            flagged_amount=FLAGGED_AMOUNT,
        )
        self.run(SALES, until=until, products=PRODUCTS)
        self.run(PLACES, until=until, flagged=FLAGGED, flagged_amount=FLAGGED_AMOUNT)

    def rows(self, name: str, asked: Asked = NOTHING_ASKED, *, limited: bool = True) -> list[Row]:
        """The rows of a chart, with its rights and a dashboard's filters."""
        chart = CHARTS[name]
        limit = f" LIMIT {query_of(chart)['row_limit']}" if limited else ""
        self._connection.execute("SET LOCAL ROLE fraud_charts")
        with self._connection.cursor(row_factory=dict_row) as cursor:
            sent = statement(chart, asked).replace("CURRENT_TIMESTAMP", "fraud.now()")  # so sqlglot spells `now()`
            return cursor.execute((sent + limit).encode()).fetchall()

    def figure(self, name: str, asked: Asked = NOTHING_ASKED) -> object:
        """What a big number shows."""
        [row] = self.rows(name, asked)
        [value] = row.values()
        return value

    def total(self, name: str, column: str, asked: Asked = NOTHING_ASKED) -> float:
        """The sum over what a chart shows."""
        return sum(row[column] or 0 for row in self.rows(name, asked))


@contextmanager
def frozen(owner: Postgres, now: datetime) -> Iterator[Shop]:
    """Empty tables at `now`, for the time of a test."""
    with owner.transaction(force_rollback=True):
        for table in TABLES:
            owner.execute(f"DELETE FROM fraud.{table}".encode())
        owner.execute(CLOCK.format(now=now.isoformat()).encode())
        yield Shop(owner)
