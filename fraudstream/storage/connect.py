"""Connections to Postgres. Passwords come from libpq's pass file, never from a URL."""

from typing import Any

import psycopg

from fraudstream.settings import Settings

CONNECT_SECONDS = 5


def connect(
    settings: Settings, role: str, database: str | None = None, *, autocommit: bool = False
) -> psycopg.Connection[tuple[Any, ...]]:
    """A psycopg connection as `role`, to the platform's database unless another is named."""
    dsn = settings.dsn(role, database)
    return psycopg.connect(dsn, autocommit=autocommit, connect_timeout=CONNECT_SECONDS, application_name="fraudctl")
