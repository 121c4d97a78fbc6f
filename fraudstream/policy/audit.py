"""The audit log: who changed what."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from fraudstream.storage.connect import Postgres

_INSERT = 'INSERT INTO fraud.audit_log (who, what, subject, "before", "after") VALUES (%s, %s, %s, %s, %s)'
_HISTORY = """
SELECT audit_id, at, who, what, subject, "before", "after" FROM fraud.audit_log
WHERE audit_id < %s AND (%s = '' OR strpos(lower(concat_ws(' ', who, what, subject)), lower(%s)) > 0)
ORDER BY audit_id DESC LIMIT %s
"""
NEWEST = 2**63 - 1


@dataclass(frozen=True)
class Change:
    """A row of fraud.audit_log."""

    audit_id: int
    at: datetime
    who: str
    what: str
    subject: str
    before: Any
    after: Any


def history(connection: Postgres, limit: int = 100, *, search: str = "", before: int = NEWEST) -> list[Change]:
    """The newest changes before the one numbered `before`; with `search`, those whose person or subject has it."""
    return [Change(*row) for row in connection.execute(_HISTORY, (before, search, search, limit)).fetchall()]


def note(
    connection: Postgres, who: str, what: str, subject: str, *, before: Any | None = None, after: Any | None = None
) -> None:
    """Adds a row, in the transaction of the change itself. `before` and `after` are what JSON can hold, or None."""
    shown = [None if value is None else Jsonb(value) for value in (before, after)]
    connection.execute(_INSERT, (who, what, subject, *shown))
