"""Incidents: each fault is one from when it is first seen until it has passed, however often it is seen meanwhile.

A unique index allows one open incident of a source and subject, so that checks may run at the same time.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from fraudstream.errors import UsageError
from fraudstream.storage.connect import Postgres
from fraudstream.watch.checks import Fault, Severity

#: Nobody wants to be told tomorrow of what was over yesterday, as after a mail server's outage.
TOLD_WITHIN = "1 day"

_SEEN = """
    INSERT INTO fraud.incidents (source, subject, severity, text, opened_at, seen_at)
    VALUES (%(source)s, %(subject)s, %(severity)s, %(text)s, clock_timestamp(), clock_timestamp())
    ON CONFLICT (source, subject) WHERE closed_at IS NULL
    DO UPDATE SET seen_at = clock_timestamp(), severity = EXCLUDED.severity, text = EXCLUDED.text
    RETURNING incident_id
"""
_CLOSE = """
    UPDATE fraud.incidents SET closed_at = clock_timestamp()
    WHERE closed_at IS NULL AND source = ANY(%s) AND seen_at <= clock_timestamp() - %s * interval '1 second'
      AND incident_id <> ALL(%s)
    RETURNING incident_id
"""
_COLUMNS = "incident_id, source, subject, severity, text, opened_at, acknowledged_by, closed_at"
_OPEN = f"""
    SELECT {_COLUMNS} FROM fraud.incidents WHERE closed_at IS NULL ORDER BY severity, incident_id
"""  # noqa: S608 (constants)
_ACKNOWLEDGE = """
    UPDATE fraud.incidents SET acknowledged_at = clock_timestamp(), acknowledged_by = %s
    WHERE closed_at IS NULL AND incident_id = ANY(%s) RETURNING incident_id
"""
_TO_TELL = f"""
    SELECT {_COLUMNS} FROM fraud.incidents
    WHERE coalesce(closed_at, opened_at) > now() - %s::interval
      AND (told_opened_at IS NULL OR closed_at IS NOT NULL AND told_closed_at IS NULL)
    ORDER BY severity, incident_id FOR UPDATE SKIP LOCKED
"""  # noqa: S608 (constants)
_TOLD = """
    UPDATE fraud.incidents
    SET told_opened_at = coalesce(told_opened_at, clock_timestamp()),
        told_closed_at = CASE WHEN closed_at IS NOT NULL THEN clock_timestamp() END
    WHERE incident_id = ANY(%s)
"""


@dataclass(frozen=True)
class Incident:
    """An incident as people see it."""

    incident_id: int
    source: str
    subject: str
    severity: Severity
    text: str
    opened_at: datetime
    acknowledged_by: str | None
    closed_at: datetime | None

    def __str__(self) -> str:
        subject = f" {self.subject}" if self.subject else ""
        return f"{self.source}{subject}: {self.text}"


def see(connection: Postgres, faults: Iterable[Fault]) -> list[int]:
    """Opens an incident for each fault that has none, and notes the others as seen. Returns their numbers."""
    numbers = []
    # In one order, so that runs at the same time don't wait for each other in a circle.
    for fault in sorted(faults, key=lambda fault: (fault.source, fault.subject)):
        named = {"source": fault.source, "subject": fault.subject, "severity": fault.severity, "text": fault.text}
        numbers += [number for (number,) in connection.execute(_SEEN, named)]
    return numbers


def close(connection: Postgres, sources: Sequence[str], seen: Sequence[int], quiet_seconds: float) -> list[int]:
    """Closes the incidents of these sources that weren't `seen`, nor by anybody within `quiet_seconds`."""
    return [number for (number,) in connection.execute(_CLOSE, (list(sources), quiet_seconds, list(seen)))]


def open_incidents(connection: Postgres) -> list[Incident]:
    """All that are open, critical ones first."""
    with connection.cursor(row_factory=class_row(Incident)) as cursor:
        return cursor.execute(_OPEN).fetchall()


def acknowledge(connection: Postgres, numbers: Sequence[int], by: str) -> None:
    """Notes that somebody looks after open incidents. Raises UsageError for a number that isn't an open one's."""
    done = {number for (number,) in connection.execute(_ACKNOWLEDGE, (by, list(numbers)))}
    if unknown := sorted(set(numbers) - done):
        raise UsageError(f"no open incident has the number {unknown[0]}: ./fraudctl incidents, without numbers")


def tell(connection: Postgres, send: Callable[[list[Incident]], None]) -> int:
    """Sends what opened or closed and nobody was told, and notes that. Returns how many.

    All in one transaction: a `send` that raises is tried again by the next run, and a run that dies right after it
    tells the same once more. Runs at the same time tell different ones.
    """
    with connection.transaction(), connection.cursor(row_factory=class_row(Incident)) as cursor:
        found = cursor.execute(_TO_TELL, (TOLD_WITHIN,)).fetchall()
        if found:
            send(found)
            cursor.execute(_TOLD, ([incident.incident_id for incident in found],))
    return len(found)
