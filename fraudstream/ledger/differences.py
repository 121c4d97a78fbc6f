"""Differences of the books: kept open until somebody acknowledges them with a reason."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from fraudstream.errors import UsageError
from fraudstream.storage.connect import Postgres

#: So many are kept open at a time. The rounds find all others again once these are acknowledged.
OPEN_LIMIT = 1000

# One that was acknowledged stays so while it differs by as much; by another amount it has another key.
_SEEN = """
    UPDATE fraud.reconciliation_differences SET seen_at = clock_timestamp() WHERE key = %s RETURNING acknowledged_at
"""
_KEEP = """
    INSERT INTO fraud.reconciliation_differences (key, text)
    SELECT %s, %s WHERE (SELECT count(*) FROM fraud.reconciliation_differences WHERE acknowledged_at IS NULL) < %s
    ON CONFLICT (key) DO NOTHING
"""
_OPEN = """
    SELECT difference_id, text, found_at, seen_at FROM fraud.reconciliation_differences
    WHERE acknowledged_at IS NULL ORDER BY difference_id
"""
_ACKNOWLEDGE = """
    UPDATE fraud.reconciliation_differences
    SET acknowledged_at = clock_timestamp(), acknowledged_by = %s, reason = %s
    WHERE acknowledged_at IS NULL AND difference_id = ANY(%s)
"""


@dataclass(frozen=True)
class Difference:
    """One difference. `key` says what differs and by how much, so that each is kept once; `text` tells a person."""

    key: str
    text: str


@dataclass(frozen=True)
class OpenDifference:
    """A difference that nobody has acknowledged; a run found it last at `seen_at`."""

    difference_id: int
    text: str
    found_at: datetime
    seen_at: datetime


def keep(connection: Postgres, found: Iterable[Difference]) -> list[Difference]:
    """Keeps what a run found. Returns those of them that nobody has acknowledged. Raises psycopg.Error."""
    unacknowledged = []
    for difference in found:
        seen = connection.execute(_SEEN, (difference.key,)).fetchone()
        if seen is None:
            connection.execute(_KEEP, (difference.key, difference.text, OPEN_LIMIT))
        if seen is None or seen[0] is None:
            unacknowledged.append(difference)
    return unacknowledged


def open_differences(connection: Postgres) -> list[OpenDifference]:
    """All that are open, the oldest first. Raises psycopg.Error."""
    with connection.cursor(row_factory=class_row(OpenDifference)) as cursor:
        return cursor.execute(_OPEN).fetchall()


def acknowledge(connection: Postgres, numbers: Sequence[int], by: str, reason: str) -> None:
    """Acknowledges the open differences of these numbers. Raises UsageError for one that isn't open, or no reason."""
    if not reason.strip():
        raise UsageError("--reason is empty: say why the differences may stay, or how they were mended")
    known = {difference.difference_id for difference in open_differences(connection)}
    if unknown := sorted(set(numbers) - known):
        raise UsageError(
            f"no open difference has the number {unknown[0]}: ./fraudctl acknowledge, without numbers, lists them"
        )
    connection.execute(_ACKNOWLEDGE, (by, reason, list(numbers)))
