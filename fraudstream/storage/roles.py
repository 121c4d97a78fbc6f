"""Roles and databases: who may sign in, and where.

`fraud_owner` owns the schema and can't sign in; the stream writes as `fraud_writer`; people read as `fraud_reader`,
Superset's charts as `fraud_charts`; its desk, where analysts decide, works as `fraud_desk`; Airflow and Superset each
own their own database. What each may do with a table is declared in `fraudstream.storage.grants`. Everything here may
run again at any time.
"""

from collections.abc import Mapping
from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Identifier, Literal

from fraudstream.settings import PostgresSettings, Settings
from fraudstream.storage import functions, grants
from fraudstream.storage.connect import connect
from fraudstream.storage.tables import SCHEMA

#: Settings that a reader's session begins with, and may change: they keep mistakes small, the rights keep it out.
READER_SETTINGS = {
    "default_transaction_read_only": "on",
    "statement_timeout": "15s",
    "idle_in_transaction_session_timeout": "1min",
}
#: The same for the charts: a query that takes longer than a dashboard's refresh interval is of no use.
CHARTS_SETTINGS = READER_SETTINGS | {"statement_timeout": "10s"}
#: An analyst's page or click that takes longer has failed.
DESK_SETTINGS = {"statement_timeout": "10s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "1min"}
#: Workers that outlive a killed scheduler hold its connection open, and with it what its transaction has locked.
AIRFLOW_SETTINGS = {"idle_in_transaction_session_timeout": "1min"}
#: The health page, Dags and people, and still far from the server's own limit, which the writer needs.
READER_CONNECTIONS = 40
#: One for each thread of Superset (superset/gunicorn_config.py), and some that a server that was killed leaves behind.
CHARTS_CONNECTIONS = 20
DESK_CONNECTIONS = 20
Postgres = Connection[tuple[Any, ...]]


def ensure_roles(settings: Settings, passwords: Mapping[str, str]) -> None:
    """Creates roles and databases. `passwords` holds each login role's; only their SCRAM verifiers reach the server."""
    pg = settings.postgres
    databases = {
        pg.database: pg.owner,
        pg.airflow_database: pg.airflow_database,
        pg.superset_database: pg.superset_database,
    }
    with connect(settings, pg.admin, "postgres", autocommit=True) as connection:
        connection.execute("SET log_min_error_statement = panic; SET log_statement = none")
        _ensure_role(connection, pg.owner, "NOLOGIN")
        for role, password in passwords.items():
            _ensure_role(connection, role, "LOGIN")
            _set_password(connection, role, password)
        for role in set(databases.values()):
            connection.execute(SQL("GRANT {} TO CURRENT_USER").format(Identifier(role)))
        for database, owner in databases.items():
            _ensure_database(connection, database, owner)
        if pg.embedded:  # a server of others has databases of theirs
            connection.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")
        for role in (pg.writer, pg.reader, pg.charts, pg.desk):
            rights = "CONNECT, TEMPORARY" if role == pg.writer else "CONNECT"
            connection.execute(
                SQL("GRANT {} ON DATABASE {} TO {}").format(SQL(rights), *map(Identifier, (pg.database, role)))
            )
        for role, (limit, begins_with) in limits(pg).items():
            connection.execute(SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(Identifier(role), Literal(limit)))
            _set(connection, role, begins_with)
        _set(connection, pg.airflow_database, AIRFLOW_SETTINGS)


def limits(pg: PostgresSettings) -> dict[str, tuple[int, dict[str, str]]]:
    """Each role by which people look and click: how many connections it may have, and what its sessions begin with."""
    return {
        pg.reader: (READER_CONNECTIONS, READER_SETTINGS),
        pg.charts: (CHARTS_CONNECTIONS, CHARTS_SETTINGS),
        pg.desk: (DESK_CONNECTIONS, DESK_SETTINGS),
    }


def ensure_schema(settings: Settings) -> None:
    """Creates the schema, which writer, reader, charts and desk may enter, and nobody else."""
    pg = settings.postgres
    with connect(settings, pg.admin) as connection:
        functions.restrict(connection, pg)
        connection.execute(SQL("SET ROLE {}").format(Identifier(pg.owner)))
        connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(SCHEMA)))
        connection.execute(
            SQL("GRANT USAGE ON SCHEMA {} TO {}").format(
                Identifier(SCHEMA), SQL(", ").join(map(Identifier, (pg.writer, pg.reader, pg.charts, pg.desk)))
            )
        )
        for schema in (SCHEMA, "public"):
            connection.execute(SQL("REVOKE ALL ON SCHEMA {} FROM PUBLIC").format(Identifier(schema)))


def grant_tables(settings: Settings) -> None:
    """Gives writer, reader, charts and desk the declared rights on the tables that exist, and takes all others away."""
    pg = settings.postgres
    with connect(settings, pg.admin) as connection:
        connection.execute(SQL("SET ROLE {}").format(Identifier(pg.owner)))
        grants.apply(connection, pg)


def _exists(connection: Postgres, query: str, name: str) -> bool:
    return connection.execute(query, (name,)).fetchone() is not None


def _ensure_role(connection: Postgres, role: str, login: str) -> None:
    if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", role):
        connection.execute(SQL("CREATE ROLE {} {}").format(Identifier(role), SQL(login)))


def _set_password(connection: Postgres, role: str, password: str) -> None:
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(role), Literal(verifier)))


def _ensure_database(connection: Postgres, database: str, owner: str) -> None:
    """Creates a database that only its owner, and whom we name, may connect to."""
    if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", database):
        connection.execute(SQL("CREATE DATABASE {} OWNER {}").format(Identifier(database), Identifier(owner)))
    connection.execute(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(database)))


def _set(connection: Postgres, role: str, settings: Mapping[str, str]) -> None:
    """Sets what the role's sessions begin with."""
    for setting, value in settings.items():
        connection.execute(SQL("ALTER ROLE {} SET {} = {}").format(Identifier(role), SQL(setting), Literal(value)))
