"""The archive's lock, held in Postgres by whoever writes to the archive, or copies it."""

from collections.abc import Iterator
from contextlib import contextmanager

from fraudstream.settings import Settings
from fraudstream.storage.connect import connect

_LOCK = "SELECT pg_advisory_lock(1163023174)"


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """While it lasts, nobody else writes to the archive: a file that isn't committed yet would look left over.

    Waits for whoever writes. Raises PostgresUnavailableError.
    """
    with connect(settings, settings.postgres.writer, name="archive", autocommit=True) as connection:
        connection.execute(_LOCK)
        yield
