"""Lists in Postgres. Entries are only added, and marked as removed: what a list held at any time can be told.

Retention deletes those that are removed or expired for longer than transactions are kept (`fraudstream.retention`).
"""

from dataclasses import dataclass
from datetime import datetime

from fraudstream.failpoints import Failpoint, reach
from fraudstream.policy import audit
from fraudstream.policy.document import Kind
from fraudstream.policy.errors import PolicyError
from fraudstream.storage.connect import Postgres

MAX_VALUE_LENGTH = 200
_ACTIVE = "removed_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
#: Every text has the empty one.
_HAS = "(strpos(lower(value), lower(%s)) > 0 OR strpos(lower(reason), lower(%s)) > 0)"

_MARK_REMOVED = f"""
UPDATE fraud.list_entries SET removed_by = %s, removed_at = now() WHERE list_name = %s AND value = ANY(%s) AND {_ACTIVE}
"""  # noqa: S608 (constants)


@dataclass(frozen=True)
class Entry:
    """What is added to a list."""

    value: str
    reason: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True)
class ListSummary:
    """A list and how many entries are at work."""

    name: str
    kind: Kind
    description: str
    active: int


@dataclass(frozen=True)
class ActiveEntry:
    """An entry at work."""

    value: str
    reason: str
    added_by: str
    added_at: datetime
    expires_at: datetime | None


def kinds(connection: Postgres) -> dict[str, Kind]:
    """The kind of each list."""
    return {name: Kind(kind) for name, kind in connection.execute("SELECT name, kind FROM fraud.lists").fetchall()}


def create(connection: Postgres, name: str, kind: Kind, *, who: str, description: str = "") -> None:
    """Makes an empty list. Raises PolicyError when there is one of this name."""
    if not name or len(name) > 63 or not name.isprintable() or "'" in name:
        raise PolicyError(f"{name!r} is no name of a list: at most 63 characters, without quotes")
    with connection.transaction():
        made = connection.execute(
            "INSERT INTO fraud.lists (name, kind, description, created_by) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (name) DO NOTHING",
            (name, kind.value, description, who),
        )
        if made.rowcount != 1:
            raise PolicyError(f"there is a list {name!r} already")
        audit.note(connection, who, "list created", f"list {name}", after={"kind": kind.value})


def add(connection: Postgres, name: str, entries: list[Entry], *, who: str) -> int:
    """Adds entries; one whose value is in the list already replaces the one that is there. Returns how many.

    They are at work with the stream's next micro-batch. Raises PolicyError.
    """
    _check_list(connection, name)
    for entry in entries:
        if not entry.value or len(entry.value) > MAX_VALUE_LENGTH or "\0" in entry.value:
            raise PolicyError(f"{entry.value[:80]!r} can't be in a list: 1 to {MAX_VALUE_LENGTH} characters")
        if entry.expires_at and entry.expires_at.tzinfo is None:
            raise PolicyError(f"the entry {entry.value!r} expires at {entry.expires_at}, without a time zone")
    rows = {entry.value: entry for entry in entries}
    with connection.transaction():
        _mark_removed(connection, name, list(rows), who)
        reach(Failpoint.IN_POLICY_LIST)
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY fraud.list_entries (list_name, value, reason, added_by, expires_at) FROM STDIN") as copy,
        ):
            for entry in rows.values():
                copy.write_row((name, entry.value, entry.reason, who, entry.expires_at))
        audit.note(connection, who, "list entries added", f"list {name}", after=_shown(list(rows.values())))
    return len(rows)


def remove(connection: Postgres, name: str, values: list[str], *, who: str) -> int:
    """Marks the active entries with these values as removed, and returns how many. Raises PolicyError for none."""
    _check_list(connection, name)
    with connection.transaction():
        removed = _mark_removed(connection, name, values, who)
        if not removed:
            raise PolicyError(f"the list {name!r} has no active entry {', '.join(map(repr, values[:3]))}")
        audit.note(connection, who, "list entries removed", f"list {name}", before={"values": values[:100]})
    return removed


def summaries(connection: Postgres) -> list[ListSummary]:
    """All lists, by name."""
    rows = connection.execute(
        f"""
        SELECT l.name, l.kind, l.description,
            (SELECT count(*) FROM fraud.list_entries e WHERE e.list_name = l.name AND {_ACTIVE})
        FROM fraud.lists l ORDER BY l.name
        """  # noqa: S608 (constants)
    ).fetchall()
    return [ListSummary(name, Kind(kind), description, active) for name, kind, description, active in rows]


def entries(connection: Postgres, name: str, limit: int = 1_000, *, search: str = "") -> list[ActiveEntry]:
    """The newest entries of a list that are at work; with `search`, those whose value or reason has it.

    Raises PolicyError when there is no such list.
    """
    _check_list(connection, name)
    rows = connection.execute(
        f"SELECT value, reason, added_by, added_at, expires_at FROM fraud.list_entries "  # noqa: S608 (constants)
        f"WHERE list_name = %s AND {_ACTIVE} AND {_HAS} ORDER BY entry_id DESC LIMIT %s",
        (name, search, search, limit),
    ).fetchall()
    return [ActiveEntry(*row) for row in rows]


def find(connection: Postgres, search: str, limit: int = 100) -> list[tuple[str, ActiveEntry]]:
    """The newest entries at work, of all lists, whose value or reason has `search`: each with its list's name."""
    rows = connection.execute(
        f"SELECT list_name, value, reason, added_by, added_at, expires_at FROM fraud.list_entries "  # noqa: S608 (constants)
        f"WHERE {_ACTIVE} AND {_HAS} ORDER BY entry_id DESC LIMIT %s",
        (search, search, limit),
    ).fetchall()
    return [(name, ActiveEntry(*row)) for name, *row in rows]


def _mark_removed(connection: Postgres, name: str, values: list[str], who: str) -> int:
    return connection.execute(_MARK_REMOVED, (who, name, values)).rowcount


def _check_list(connection: Postgres, name: str) -> None:
    if connection.execute("SELECT FROM fraud.lists WHERE name = %s", (name,)).fetchone() is None:
        known = ", ".join(sorted(kinds(connection))) or "none"
        raise PolicyError(f"there is no list {name!r}; there are: {known}")


def _shown(added: list[Entry]) -> dict[str, object]:
    """What the audit log keeps of entries: all of a few, the number of many."""
    first = added[:100]
    shown = [
        {
            "value": entry.value,
            "reason": entry.reason,
            "expires_at": entry.expires_at.isoformat() if entry.expires_at else None,
        }
        for entry in first
    ]
    return {"count": len(added), "entries": shown}
