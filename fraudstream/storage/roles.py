"""Roles and databases: who may do what.

`fraud_owner` owns the schema and can't sign in; the stream writes as `fraud_writer`; people and Superset read as
`fraud_reader`; Airflow and Superset each own their own database. Everything here may run again at any time.
"""

from collections.abc import Mapping
from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Identifier, Literal

from fraudstream.settings import Settings
from fraudstream.storage.connect import connect
from fraudstream.storage.tables import SCHEMA

READER_STATEMENT_TIMEOUT = "15s"
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
        for role in (pg.writer, pg.reader):
            connection.execute(
                SQL("GRANT CONNECT ON DATABASE {} TO {}").format(Identifier(pg.database), Identifier(role))
            )
        connection.execute(
            SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(*map(Identifier, (pg.database, pg.writer)))
        )
        _limit_reader(connection, pg.reader)


def ensure_schema(settings: Settings) -> None:
    """Creates the schema, and lets writer and reader use what is in it now and what migrations add later."""
    pg = settings.postgres
    with connect(settings, pg.admin) as connection:
        connection.execute(SQL("SET ROLE {}").format(Identifier(pg.owner)))
        connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(SCHEMA)))
        for role, rights in ((pg.writer, "SELECT, INSERT, UPDATE, DELETE"), (pg.reader, "SELECT")):
            names = {"schema": Identifier(SCHEMA), "role": Identifier(role), "rights": SQL(rights)}
            for statement in (
                "GRANT USAGE ON SCHEMA {schema} TO {role}",
                "GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {role}",
                "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT {rights} ON TABLES TO {role}",
            ):
                connection.execute(SQL(statement).format(**names))
        names = {"schema": Identifier(SCHEMA), "role": Identifier(pg.writer)}
        for statement in (
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE ON SEQUENCES TO {role}",
        ):
            connection.execute(SQL(statement).format(**names))


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
    connection.execute(SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(Identifier(database)))


def _limit_reader(connection: Postgres, reader: str) -> None:
    for setting, value in (
        ("default_transaction_read_only", "on"),
        ("statement_timeout", READER_STATEMENT_TIMEOUT),
    ):
        connection.execute(SQL("ALTER ROLE {} SET {} = {}").format(Identifier(reader), SQL(setting), Literal(value)))
