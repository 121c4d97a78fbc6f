"""Connections to Postgres, all of the platform's. Passwords come from libpq's pass file, never from a URL."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import psycopg

from fraudstream.errors import FraudstreamError
from fraudstream.settings import Settings

CONNECT_SECONDS = 10
#: For those who only look, and would rather say at once that Postgres is gone. libpq waits for 2 at least.
QUICK_SECONDS = 3

Postgres = psycopg.Connection[Any]
#: Settings of the server for one session.
SessionSettings = Mapping[str, str]
NONE: SessionSettings = MappingProxyType({})


class PostgresUnavailableError(FraudstreamError, psycopg.OperationalError):
    """Postgres can't be reached, refuses a role, or was lost; `said` is its own first line.

    It is an OperationalError, too, for those who wait and try again.
    """

    def __init__(self, message: str, said: str = "") -> None:
        super().__init__(message)
        self.said = said


def connect(
    settings: Settings,
    role: str,
    database: str | None = None,
    *,
    name: str = "fraudctl",
    timeout: int = CONNECT_SECONDS,
    autocommit: bool = False,
    begins_with: SessionSettings = NONE,
) -> Postgres:
    """A connection as `role`, to the platform's database unless another is named.

    Postgres shows `name` in `pg_stat_activity`; `timeout` is in seconds. The session begins with settings of the
    server, such as `statement_timeout`; they aren't sent as start-up options, which poolers refuse or ignore. Raises
    PostgresUnavailableError.
    """
    given = settings.postgres.admin_password.get_secret_value() if role == settings.postgres.admin else ""
    try:
        connection = psycopg.connect(
            settings.dsn(role, database),
            autocommit=True,
            connect_timeout=timeout,
            application_name=name,
            password=given or None,
        )
        for setting, value in begins_with.items():
            connection.execute("SELECT set_config(%s, %s, false)", (setting, value))
    except psycopg.OperationalError as error:
        raise unavailable(settings, role, database, error) from error
    connection.autocommit = autocommit
    return connection


@contextmanager
def session(
    settings: Settings,
    role: str,
    *,
    name: str,
    timeout: int = CONNECT_SECONDS,
    begins_with: SessionSettings = NONE,
) -> Iterator[Postgres]:
    """A connection that commits and closes with its context, or rolls back.

    Raises PostgresUnavailableError, also when Postgres is lost meanwhile, or gives up a statement.
    """
    try:
        with connect(settings, role, name=name, timeout=timeout, begins_with=begins_with) as connection:
            yield connection
    except PostgresUnavailableError:
        raise
    except psycopg.OperationalError as error:
        raise unavailable(settings, role, None, error) from error


def first_line(error: Exception) -> str:
    """The first line of a driver's message: the rest is advice for other set-ups."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].strip()


def unavailable(settings: Settings, role: str, database: str | None, error: Exception) -> PostgresUnavailableError:
    """The error that names server, role and database, and what to do."""
    pg, said = settings.postgres, first_line(error)
    advice = (
        f"run ./fraudctl up, or read {settings.paths.logs / 'postgres.log'}"
        if pg.embedded
        else "see that it runs and lets this role in, or mend FRAUDSTREAM_POSTGRES__HOST and __PORT"
    )
    return PostgresUnavailableError(
        f"Postgres at {pg.address}:{pg.port} doesn't serve {role} in database {database or pg.database} "
        f"({said}): {advice}",
        said,
    )
