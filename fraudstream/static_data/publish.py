"""Publishes customers, products and exchange rates to Postgres, in one transaction and as a new version."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import psycopg
import pyarrow as pa
from psycopg import sql
from sqlalchemy import Table

from fraudstream.errors import FraudstreamError
from fraudstream.static_data.currencies import COLUMNS, Rate
from fraudstream.storage.salted import hash_of
from fraudstream.storage.tables import SCHEMA
from fraudstream.storage.tables.static_data import currency_rates, customers, products, static_versions

#: Held by a publisher, so that two at a time make two versions one after the other.
_LOCK = 0x5741_7469  # any number, the same everywhere
_ERASED = "SELECT salt, id_hash, max(erased_at) FROM fraud.erasures WHERE erased_at IS NOT NULL GROUP BY 1, 2"


class StaticDataError(FraudstreamError):
    """The static data can't be published."""


@dataclass(frozen=True)
class Published:
    """Outcome of a publication: the newest version, and whether this publication made it."""

    version: int
    new: bool
    customers: int
    products: int
    currency_rates: int


def publish(
    connection: psycopg.Connection[Any],
    customer_rows: pa.Table,
    product_rows: pa.Table,
    rates: Sequence[Rate] | None = None,
) -> Published:
    """Makes `fraud.customers` and `fraud.products` hold the given rows; who isn't among them stays.

    `fraud.currency_rates` then holds `rates` and no others; None leaves it as it is. A repeat that changes no row makes
    no new version. Raises StaticDataError when a column is missing.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        customer_rows = _without_erased(cursor, customer_rows)
        changed = _upsert(cursor, customers, customer_rows) + _upsert(cursor, products, product_rows)
        changed += rates is not None and _replace_rates(cursor, rates)
        counts = (_count(cursor, customers), _count(cursor, products), _count(cursor, currency_rates))
        versions = sql.Identifier(SCHEMA, static_versions.name)
        cursor.execute(sql.SQL("SELECT max(version) FROM {}").format(versions))
        newest = _single(cursor)
        if newest is not None and not changed:
            return Published(newest, False, *counts)
        insert = sql.SQL("INSERT INTO {} (customers, products, currency_rates) VALUES (%s, %s, %s) RETURNING version")
        cursor.execute(insert.format(versions), counts)
        return Published(_single(cursor), True, *counts)


def _without_erased(cursor: psycopg.Cursor[Any], rows: pa.Table) -> pa.Table:
    """Leaves out who was erased, unless registered after that: the shop's list may be older than the erasure."""
    erased = cursor.execute(_ERASED).fetchall()
    if not erased or not {"customer_id", "registered_at"} <= set(rows.column_names):
        return rows
    until = {(salt, id_hash): erased_at for salt, id_hash, erased_at in erased}
    salts = {salt for salt, _ in until}

    def stays(customer: str, registered_at: datetime) -> bool:
        found = (until.get((salt, hash_of(salt, customer))) for salt in salts)
        return all(erased_at is None or registered_at > erased_at for erased_at in found)

    known = zip(rows["customer_id"].to_pylist(), rows["registered_at"].to_pylist(), strict=True)
    return rows.filter(pa.array([stays(*each) for each in known], pa.bool_()))


def _upsert(cursor: psycopg.Cursor[Any], table: Table, rows: pa.Table) -> int:
    """Inserts new rows and updates those that differ; returns how many."""
    columns = [column.name for column in table.columns]
    missing = [name for name in columns if name not in rows.column_names]
    if missing:
        needed = ", ".join(columns)
        raise StaticDataError(f"the data for {SCHEMA}.{table.name} has no column {missing[0]}; it needs {needed}")
    key, *others = columns
    names = {
        "target": sql.Identifier(SCHEMA, table.name),
        "staged": sql.Identifier(f"staged_{table.name}"),
        "columns": _listed("{0}", columns),
        "key": sql.Identifier(key),
        "assignments": _listed("{0} = excluded.{0}", others),
        "old": _listed("old.{0}", others),
        "new": _listed("excluded.{0}", others),
    }
    cursor.execute(sql.SQL("CREATE TEMP TABLE {staged} (LIKE {target}) ON COMMIT DROP").format(**names))
    with cursor.copy(sql.SQL("COPY {staged} ({columns}) FROM STDIN").format(**names)) as copy:
        for row in zip(*(rows[name].to_pylist() for name in columns), strict=True):
            copy.write_row(row)
    cursor.execute(
        sql.SQL(
            "INSERT INTO {target} AS old ({columns}) SELECT {columns} FROM {staged} "
            "ON CONFLICT ({key}) DO UPDATE SET {assignments} WHERE ({old}) IS DISTINCT FROM ({new})"
        ).format(**names)
    )
    return cursor.rowcount


def _replace_rates(cursor: psycopg.Cursor[Any], rates: Sequence[Rate]) -> bool:
    """Replaces the rates, since one may be corrected or taken out; returns whether they differ from those before."""
    table, columns = sql.Identifier(SCHEMA, currency_rates.name), _listed("{0}", COLUMNS)
    held = cursor.execute(sql.SQL("SELECT {} FROM {}").format(columns, table)).fetchall()
    if set(held) == set(rates):
        return False
    cursor.execute(sql.SQL("DELETE FROM {}").format(table))
    with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(table, columns)) as copy:
        for rate in rates:
            copy.write_row(rate)
    return True


def _listed(form: LiteralString, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL(form).format(sql.Identifier(name)) for name in columns)


def _count(cursor: psycopg.Cursor[Any], table: Table) -> int:
    cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(SCHEMA, table.name)))
    return int(_single(cursor))


def _single(cursor: psycopg.Cursor[Any]) -> Any:
    """The value of a query that always returns one row with one column."""
    row = cursor.fetchone()
    return row[0] if row else None
