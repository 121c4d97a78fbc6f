"""Computes `fraud.entity_risk` anew from transactions and their delayed labels, in one SQL transaction.

`python -m fraudstream.static_data.entity_risk`, as the Dag `refresh_entity_risk` runs it. What is counted, and when, is
defined in `fraudstream.static_data.entities`; which entities are kept, and the formula of `risk`,
in `model.features.entity_risk`. A part of the refresh is what is known of terminals
(`fraudstream.static_data.terminals`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import psycopg
import typer

from fraudstream.errors import told_in_one_line
from fraudstream.messages.contracts import TYPED_TIME_FORMATS
from fraudstream.messages.places import sql_is_city
from fraudstream.settings import load_settings
from fraudstream.static_data import terminals
from fraudstream.static_data.components import components
from fraudstream.static_data.entities import (
    PRIOR_TRANSACTIONS,
    EntityType,
    newest_refresh,
    sql_address_cell,
    window_start,
)
from fraudstream.storage.connect import session

#: Held by a refresh, so that two at a time make two versions one after the other.
_LOCK = 0x5269_736B  # any number, the same everywhere
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Refreshed:
    """Outcome of a refresh. `transactions` and `frauds` are the shop's in the window."""

    version: int
    as_of: datetime
    transactions: int
    frauds: int
    entities: int
    terminals: int  # with a fraud, in their own window


# It may take its time, but not the stream's processors; hash tables in memory spare it sorting on disk.
_CALM = ("SET LOCAL max_parallel_workers_per_gather = 0", "SET LOCAL work_mem = '64MB'")

_USED = "customer_id, device_id, card_token, shipping_latitude, shipping_longitude, items"
# Of the stream's and of an imported past; an id in both counts once. A label older than `since` belongs to a
# transaction that is older still. `known` is read twice rather than kept: it is as large as both tables' window.
_COUNTED = f"""
CREATE TEMPORARY TABLE counted ON COMMIT DROP AS
WITH known AS NOT MATERIALIZED (
    SELECT transaction_id, event_time, {_USED} FROM fraud.scored_transactions
    WHERE event_time >= %(since)s AND event_time < %(as_of)s
    UNION ALL
    SELECT transaction_id, event_time, {_USED} FROM fraud.past_transactions p
    WHERE event_time >= %(since)s AND event_time < %(as_of)s
        AND NOT EXISTS (SELECT FROM fraud.scored_transactions t WHERE t.transaction_id = p.transaction_id)
), labels AS NOT MATERIALIZED (
    SELECT transaction_id, is_fraud, labelled_at, true AS live, label_id AS number FROM fraud.transaction_labels
    UNION ALL
    SELECT transaction_id, is_fraud, labelled_at, false, number FROM fraud.past_labels
), verdicts AS (
    SELECT DISTINCT ON (l.transaction_id) l.transaction_id, l.is_fraud
    FROM labels l JOIN known t USING (transaction_id)
    WHERE l.labelled_at >= %(since)s AND l.labelled_at < %(as_of)s AND l.labelled_at >= t.event_time
    ORDER BY l.transaction_id, l.labelled_at DESC, l.live DESC, l.number DESC
)
SELECT transaction_id, {_USED}, coalesce(v.is_fraud, false) AS is_fraud
FROM known LEFT JOIN verdicts v USING (transaction_id)
"""  # noqa: S608 (constants)

_TOTALS = "SELECT count(*), count(*) FILTER (WHERE is_fraud) FROM counted"

_USES = f"""
CREATE TEMPORARY TABLE uses ON COMMIT DROP AS
WITH each AS (
    SELECT '{EntityType.DEVICE}' AS entity_type, device_id AS entity_id, customer_id, is_fraud FROM counted
    WHERE device_id IS NOT NULL
    UNION ALL
    SELECT '{EntityType.CARD_TOKEN}', card_token, customer_id, is_fraud FROM counted WHERE card_token IS NOT NULL
    UNION ALL
    SELECT '{EntityType.SHIPPING_ADDRESS}', {sql_address_cell()}, customer_id, is_fraud
    FROM counted WHERE NOT {sql_is_city("shipping_latitude", "shipping_longitude")}
    UNION ALL
    SELECT '{EntityType.CATEGORY}', category, customer_id, is_fraud FROM (
        SELECT DISTINCT c.transaction_id, p.category, c.customer_id, c.is_fraud
        FROM counted c CROSS JOIN LATERAL jsonb_to_recordset(c.items) AS item (product_id text)
        JOIN fraud.products p ON p.product_id = item.product_id
    ) AS bought
) -- by customer; two steps of hashing are quicker than count(DISTINCT), which sorts
SELECT entity_type, entity_id, customer_id, count(*) AS transactions, count(*) FILTER (WHERE is_fraud) AS frauds
FROM each GROUP BY entity_type, entity_id, customer_id
"""  # noqa: S608 (constants)
_SHARED = f"""
SELECT array_agg(customer_id) FROM uses WHERE entity_type <> '{EntityType.CATEGORY}'
GROUP BY entity_type, entity_id HAVING count(*) BETWEEN 2 AND %s
"""  # noqa: S608 (constants)
_MEMBERS = "CREATE TEMPORARY TABLE members (customer_id text, component integer) ON COMMIT DROP"
_COPY_MEMBERS = "COPY members FROM STDIN"
# An entity is of a component when all its customers are: one that more share than a component may have is of none. A
# customer without ties is a component alone.
_INSERT = f"""
WITH frauds AS (
    SELECT customer_id, count(*) AS frauds FROM counted WHERE is_fraud GROUP BY customer_id
), components AS (
    SELECT component, count(*) AS customers, coalesce(sum(frauds), 0) AS frauds
    FROM members LEFT JOIN frauds USING (customer_id) GROUP BY component
), entities AS (
    SELECT entity_type, entity_id, sum(transactions) AS transactions, sum(frauds) AS frauds, count(*) AS customers,
        min(customer_id) AS customer_id,
        CASE WHEN count(component) = count(*) AND min(component) = max(component) THEN min(component) END AS component
    FROM uses LEFT JOIN members USING (customer_id) GROUP BY entity_type, entity_id
)
INSERT INTO fraud.entity_risk (entity_type, entity_id, as_of, transactions, frauds, customers, risk,
    component_customers, component_frauds)
SELECT entity_type, entity_id, %(as_of)s, e.transactions, e.frauds, e.customers,
    (e.frauds::float8 + %(prior)s::float8 * %(base)s::float8) / (e.transactions::float8 + %(prior)s::float8),
    CASE WHEN entity_type <> '{EntityType.CATEGORY}' THEN coalesce(c.customers, CASE e.customers WHEN 1 THEN 1 END) END,
    CASE WHEN entity_type <> '{EntityType.CATEGORY}' THEN
        coalesce(c.frauds, CASE e.customers WHEN 1 THEN coalesce(f.frauds, 0) END) END
FROM entities e LEFT JOIN components c USING (component) LEFT JOIN frauds f ON f.customer_id = e.customer_id
WHERE e.frauds > 0 OR e.customers > 1
"""  # noqa: S608 (constants)

_VERSION = """
INSERT INTO fraud.entity_risk_versions (as_of, transactions, frauds, entities)
VALUES (%s, %s, %s, %s) RETURNING version
"""


def refresh(connection: psycopg.Connection[Any], as_of: datetime, component_customers: int) -> Refreshed:
    """Replaces `fraud.entity_risk` by what is known before `as_of`, all or nothing, as a new version.

    `component_customers` is how many customers a component has at most.
    """
    as_of_ms = (as_of - _EPOCH) // timedelta(milliseconds=1)
    moments = {"as_of": as_of, "since": _EPOCH + timedelta(milliseconds=window_start(as_of_ms))}
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        for statement in _CALM:
            cursor.execute(statement)
        cursor.execute(_COUNTED, moments)
        cursor.execute("ANALYZE counted")  # else the planner takes it for small
        transactions, frauds = cursor.execute(_TOTALS).fetchone() or (0, 0)
        cursor.execute(_USES)
        _find_components(cursor, component_customers)
        cursor.execute("DELETE FROM fraud.entity_risk")
        base = frauds / transactions if transactions else 0.0
        constants = {"prior": PRIOR_TRANSACTIONS, "base": base}
        entities = cursor.execute(_INSERT, moments | constants).rowcount
        known = terminals.refresh(cursor, as_of)
        cursor.execute(_VERSION, (as_of, transactions, frauds, entities))
        (version,) = cursor.fetchone() or (0,)
        return Refreshed(version, as_of, transactions, frauds, entities, known)


def _find_components(cursor: psycopg.Cursor[Any], component_customers: int) -> None:
    """Puts the customers of each component of two and more into `members`."""
    shared = [customers for (customers,) in cursor.execute(_SHARED, (component_customers,))]
    cursor.execute(_MEMBERS)
    with cursor.copy(_COPY_MEMBERS) as copy:
        for number, component in enumerate(components(shared, component_customers)):
            for customer in component:
                copy.write_row((customer, number))
    for table in ("uses", "members"):
        cursor.execute(f"ANALYZE {table}")


def main(
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=TYPED_TIME_FORMATS,
            help="UTC time to count up to, for events of the past; else the last refresh",
        ),
    ] = None,
) -> None:
    """Compute entity risk anew and publish it to the stream.

    Examples:
      python -m fraudstream.static_data.entity_risk

      python -m fraudstream.static_data.entity_risk --as-of 2026-11-04T12:00:00Z
    """
    settings = load_settings()
    wanted = as_of.replace(tzinfo=UTC) if as_of else datetime.now(UTC)
    minute_ms = newest_refresh(int(wanted.timestamp() * 1000), settings.entity_risk.refresh_minutes)
    with session(settings, settings.postgres.writer, name="entity_risk") as connection:
        as_of_refresh = _EPOCH + timedelta(milliseconds=minute_ms)
        done = refresh(connection, as_of_refresh, settings.entity_risk.component_customers)
    typer.echo(
        f"version {done.version} as of {done.as_of:%Y-%m-%d %H:%M} UTC: {done.entities} entities, from "
        f"{done.transactions} transactions, {done.frauds} of them labelled as fraud; {done.terminals} terminals with "
        "a fraud"
    )


if __name__ == "__main__":
    with told_in_one_line():
        typer.run(main)
