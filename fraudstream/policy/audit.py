"""The audit log: who changed what."""

from typing import Any

from psycopg.types.json import Jsonb

from fraudstream.storage.connect import Postgres

_INSERT = 'INSERT INTO fraud.audit_log (who, what, subject, "before", "after") VALUES (%s, %s, %s, %s, %s)'


def note(
    connection: Postgres, who: str, what: str, subject: str, *, before: Any | None = None, after: Any | None = None
) -> None:
    """Adds a row, in the transaction of the change itself. `before` and `after` are what JSON can hold, or None."""
    shown = [None if value is None else Jsonb(value) for value in (before, after)]
    connection.execute(_INSERT, (who, what, subject, *shown))
