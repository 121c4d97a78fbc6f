"""Applies retention to all that grows: tables, rollups, Superset's log, Airflow's logs, old checkpoints."""

from collections.abc import Iterator

import psycopg

from fraudstream.errors import FraudstreamError
from fraudstream.messages.contracts import QUERY
from fraudstream.retention import files, superset_log, tables, thinning
from fraudstream.retention.tables import Retired
from fraudstream.settings import Settings
from fraudstream.storage.connect import Postgres, PostgresUnavailableError, connect, first_line

_GENERATION = "SELECT generation FROM fraud.stream_queries WHERE query = %s"


class RetentionError(FraudstreamError):
    """A table can't be thinned out; what was deleted before is done, with its sums."""


def apply(settings: Settings, *, dry_run: bool) -> Iterator[Retired]:
    """Deletes what is older than the settings say, or counts it, a table or kind of file after the other.

    May run at any time, and beside the stream. Raises RetentionError or PostgresUnavailableError.
    """
    try:
        yield from _apply(settings, dry_run=dry_run)
    except PostgresUnavailableError:
        raise
    except psycopg.Error as error:
        raise RetentionError(f"retention stopped ({first_line(error)}): its next run goes on from there") from error


def _apply(settings: Settings, *, dry_run: bool) -> Iterator[Retired]:
    keep, pg = settings.retention, settings.postgres
    with connect(settings, pg.reader if dry_run else pg.writer, name="retention", autocommit=True) as connection:
        if dry_run:
            yield from thinning.count(connection, keep)
            yield from tables.count(connection, keep)
        else:
            yield from thinning.thin(connection, keep)
            yield from tables.retire(connection, keep)
        generation = _generation(connection)
    yield superset_log.prune(settings, dry_run=dry_run)
    yield files.prune_logs(settings, dry_run=dry_run)
    yield files.cut_logs(settings, dry_run=dry_run)
    yield files.prune_checkpoints(settings, generation, dry_run=dry_run)


def _generation(connection: Postgres) -> int:
    row = connection.execute(_GENERATION, (QUERY,)).fetchone()
    return int(row[0]) if row else 0
