"""A pooler before your own Postgres: one that gives a connection another session for each transaction is refused.

The platform needs sessions: batches are copied into temporary tables, a replay of dead letters and Airflow's migrations
hold advisory locks between transactions, and drivers prepare statements. A pooler in session mode gives all that.
"""

from collections.abc import Iterator

import psycopg

from fraudstream.errors import RefusedError
from fraudstream.settings import PostgresSettings, Settings
from fraudstream.storage.connect import Postgres, PostgresUnavailableError, connect, unavailable

#: Rounds of questions: in each, a pooler that isn't busy shows itself; one that is may give the same session by chance.
ROUNDS = 5
_SESSION = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"


class TransactionPoolerError(RefusedError):
    """Transactions of one connection don't share a session."""


def refuse(settings: Settings, role: str, database: str | None = None) -> None:
    """Raises TransactionPoolerError when `role` has no session of its own there, and PostgresUnavailableError.

    The database is the platform's unless another is named. The embedded server isn't asked.
    """
    pg = settings.postgres
    if pg.embedded:
        return
    try:
        with _open(settings, role, database) as one, _open(settings, role, database) as other:
            # Twice the one: a pooler that gives its sessions in turn has another for the second question.
            asked = [(_session(one), _session(one), _session(other)) for _ in range(ROUNDS)]
    except PostgresUnavailableError:
        raise
    except psycopg.OperationalError as error:
        raise unavailable(settings, role, database, error) from error
    ones = {session for first, second, _ in asked for session in (first, second)}
    others = {session for *_, session in asked}
    if len(ones) > 1 or len(others) > 1 or ones & others:
        raise TransactionPoolerError(
            f"Postgres at {pg.address}:{pg.port} gives {role} in database {database or pg.database} no session of its "
            "own, since a pooler shares them among transactions: have it pool sessions for our roles (PgBouncer: "
            "pool_mode=session), or set FRAUDSTREAM_POSTGRES__HOST and __PORT to the server itself"
        )


def roles(pg: PostgresSettings) -> dict[str, str]:
    """The database of each role that `up` makes: a pooler's mode may differ by role and by database."""
    return {
        pg.writer: pg.database,
        pg.reader: pg.database,
        pg.charts: pg.database,
        pg.desk: pg.database,
        pg.airflow_database: pg.airflow_database,
        pg.superset_database: pg.superset_database,
    }


def problems(settings: Settings) -> Iterator[str]:
    """The reason why your own Postgres can't be used, if there is one; of roles that `up` made, too."""
    pg = settings.postgres
    try:
        refuse(settings, pg.admin, "postgres")
    except (PostgresUnavailableError, TransactionPoolerError) as error:
        yield str(error)
        return
    for role, database in roles(pg).items():
        try:
            refuse(settings, role, database)
        except TransactionPoolerError as error:
            yield str(error)
            return
        except PostgresUnavailableError:
            continue  # `up` makes the role, or mends it


def _open(settings: Settings, role: str, database: str | None) -> Postgres:
    connection = connect(settings, role, database, name="pooler check", autocommit=True)
    connection.prepare_threshold = None  # a statement that is prepared in a shared session fails
    return connection


def _session(connection: Postgres) -> tuple[object, ...] | None:
    return connection.execute(_SESSION).fetchone()
