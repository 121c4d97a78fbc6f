"""The desk's connections to the platform's database."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import runtime_file
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection, Engine

#: Together with Superset's 16 threads, within the role's limit (fraudstream/storage/roles.py).
POOL_SIZE, OVERFLOW = 4, 12
Row = Mapping[str, Any]


@cache
def _engine() -> Engine:
    uri = runtime_file.load().desk_uri
    return create_engine(
        uri, pool_size=POOL_SIZE, max_overflow=OVERFLOW, pool_pre_ping=True, connect_args={"application_name": "desk"}
    )


@contextmanager
def begin() -> Iterator[Connection]:
    """A connection in a transaction, which is committed at the end, or rolled back by an exception."""
    with _engine().begin() as connection:
        yield connection


def rows(connection: Connection, sql: str, **values: Any) -> list[Row]:
    """The rows of a query, whose parameters are named as `:name`."""
    return [dict(row._mapping) for row in connection.execute(text(sql), values)]


def row(connection: Connection, sql: str, **values: Any) -> Row | None:
    """The first row of a query, or None."""
    found = rows(connection, sql, **values)
    return found[0] if found else None
