"""Superset's log of what people did (table `logs` of its own database), without its old rows."""

import psycopg

from fraudstream.retention.tables import STEP_ROWS, Retired
from fraudstream.settings import Settings
from fraudstream.storage.connect import connect

_THERE = "SELECT to_regclass('logs') IS NOT NULL"
_COUNT = "SELECT count(*) FROM logs WHERE dttm < now() AT TIME ZONE 'UTC' - make_interval(secs => %(seconds)s)"
# Ids grow with time.
_STEP = """
DELETE FROM logs WHERE id IN (SELECT id FROM logs ORDER BY id LIMIT %(rows)s)
    AND dttm < now() AT TIME ZONE 'UTC' - make_interval(secs => %(seconds)s)
"""
#: Name of the table for people: it isn't one of ours.
TOLD = "Superset's logs"


def prune(settings: Settings, *, dry_run: bool) -> Retired:
    """Deletes, or counts, rows older than the settings say; 0 before Superset's first start. Raises psycopg.Error."""
    role, seconds = settings.postgres.superset_database, settings.retention.superset_log_days * 86_400
    retired = Retired(TOLD)
    if not _may(settings, role):
        return Retired(f"{TOLD} (this machine has no password of {role})")
    with connect(settings, role, role, name="retention", autocommit=True) as connection:
        if not connection.execute(_THERE).fetchall()[0][0]:
            return retired
        if dry_run:
            retired.rows = connection.execute(_COUNT, {"seconds": seconds}).fetchall()[0][0]
            return retired
        while rows := _step(connection, seconds):
            retired.rows += rows
    return retired


def _may(settings: Settings, role: str) -> bool:
    """Whether the pass file has the role's password: in containers it is Superset's alone."""
    return f":{role}:" in settings.paths.pgpass.read_text()


def _step(connection: psycopg.Connection[tuple[object, ...]], seconds: float) -> int:
    return connection.execute(_STEP, {"rows": STEP_ROWS, "seconds": seconds}).rowcount
