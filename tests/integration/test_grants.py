"""Who may do what with the tables, tried on a real Postgres: each role does its work, and is refused the rest."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction
from psycopg.sql import SQL, Identifier

from fraudstream.settings import Settings
from fraudstream.storage import functions, grants, roles
from fraudstream.storage.connect import connect
from fraudstream.storage.grants import WRITER
from fraudstream.storage.tables import metadata
from testbed.dashboards import DATASETS, NOTHING_ASKED, Asked, sent
from tests.polling import poll

Postgres = psycopg.Connection[tuple[object, ...]]
TABLES = {table.name: table for table in metadata.sorted_tables}
#: Every filter of a dashboard, so that no dataset reads a rollup alone.
EVERYTHING_ASKED = Asked(
    (("shop", "main"), ("country", "FR"), ("payment_method", "card"), ("decision", "block")),
    "2026-03-01T11:00:00",
    "2026-03-01T12:00:00",
)


@pytest.fixture
def reader(settings: Settings) -> Iterator[Postgres]:
    """The reader, after it has asked for writing: what stops it then is the lack of rights."""
    with connect(settings, settings.postgres.reader, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        yield connection


@pytest.fixture
def charts(settings: Settings) -> Iterator[Postgres]:
    """Superset's role."""
    with connect(settings, settings.postgres.charts, autocommit=True) as connection:
        yield connection


def may(connection: Postgres, statement: str, *names: str) -> bool:
    """Whether the role is allowed a statement that changes nothing."""
    try:
        with connection.transaction():
            connection.execute(SQL(statement).format(*map(Identifier, names)))
    except InsufficientPrivilege:
        return False
    return True


def test_every_table_is_declared() -> None:
    assert set(WRITER) == set(TABLES), "a table needs an entry in fraudstream/storage/grants.py"


def test_every_declared_column_exists() -> None:
    named = {
        (table, column)
        for table, rights in WRITER.items()
        for column in (rights.update if isinstance(rights.update, tuple) else ())
    }
    assert {(table, column) for table, column in named if column not in TABLES[table].columns} == set()


@pytest.mark.parametrize("table", TABLES)
def test_the_writer_changes_what_is_declared_and_nothing_else(writer: Postgres, table: str) -> None:
    rights = WRITER[table]
    assert may(writer, "SELECT FROM fraud.{} LIMIT 0", table)
    assert may(writer, "INSERT INTO fraud.{0} SELECT * FROM fraud.{0} WHERE false", table)
    assert may(writer, "DELETE FROM fraud.{} WHERE false", table) == rights.delete
    assert not may(writer, "TRUNCATE fraud.{}", table)
    assert not may(writer, "ALTER TABLE fraud.{} ADD COLUMN x int", table)
    assert not may(writer, "DROP TABLE fraud.{}", table)
    changeable = {
        column.name
        for column in TABLES[table].columns
        if may(writer, "UPDATE fraud.{0} SET {1} = {1} WHERE false", table, column.name)
    }
    assert changeable == (set(TABLES[table].columns.keys()) if rights.update is True else set(rights.update or ()))


@pytest.mark.parametrize("table", TABLES)
def test_the_reader_only_reads(reader: Postgres, table: str) -> None:
    assert may(reader, "SELECT FROM fraud.{} LIMIT 0", table)
    column = TABLES[table].columns[0].name
    for statement in (
        "INSERT INTO fraud.{0} SELECT * FROM fraud.{0} WHERE false",
        "UPDATE fraud.{0} SET {1} = {1} WHERE false",
        "DELETE FROM fraud.{0} WHERE false",
        "TRUNCATE fraud.{0}",
        "LOCK TABLE fraud.{0} IN SHARE MODE",
    ):
        assert not may(reader, statement, table, column), statement


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE fraud.x (i int)",
        "CREATE TABLE public.x (i int)",
        "CREATE SCHEMA x",
        "CREATE ROLE intruder",
        "SET ROLE fraud_owner",
        "COPY fraud.products TO PROGRAM 'cat'",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT rolpassword FROM pg_authid",
        "SELECT nextval('fraud.static_versions_version_seq')",
        "SELECT setval('fraud.static_versions_version_seq', 1)",
        "UPDATE fraud.alembic_version SET version_num = '0'",
        "SELECT FROM fraud.alembic_version",
        "ALTER ROLE fraud_writer SUPERUSER",
    ],
)
@pytest.mark.parametrize("role", ["fraud_writer", "fraud_reader", "fraud_charts", "fraud_desk"])
def test_no_role_reaches_beyond_its_tables(settings: Settings, role: str, statement: str) -> None:
    with connect(settings, role, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        assert not may(connection, statement)


@pytest.mark.parametrize("table", TABLES)
def test_the_desk_fills_and_changes_the_declared_columns_and_nothing_else(settings: Settings, table: str) -> None:
    rights = grants.DESK.get(table)
    with connect(settings, settings.postgres.desk, autocommit=True) as desk:
        assert may(desk, "SELECT FROM fraud.{} LIMIT 0", table) == (rights is not None)
        columns = list(TABLES[table].columns.keys())
        filled = {
            name
            for name in columns
            if may(desk, "INSERT INTO fraud.{0} ({1}) SELECT {1} FROM fraud.{0} WHERE false", table, name)
        }
        changed = {name for name in columns if may(desk, "UPDATE fraud.{0} SET {1} = {1} WHERE false", table, name)}
        assert filled == set(rights.insert if rights else ())
        assert changed == set(rights.update if rights else ())
        assert may(desk, "DELETE FROM fraud.{} WHERE false", table) == (rights is not None and rights.delete)


@pytest.mark.parametrize("asked", [NOTHING_ASKED, EVERYTHING_ASKED], ids=["unfiltered", "filtered"])
@pytest.mark.parametrize("name", DATASETS)
def test_the_charts_run_every_dataset(charts: Postgres, name: str, asked: Asked) -> None:
    """With its own rights, and with the columns that the asset names."""
    dataset = DATASETS[name]
    found = charts.execute(sent(asked)[dataset["uuid"]].encode())
    assert [column.name for column in found.description or ()] == [each["column_name"] for each in dataset["columns"]]


@pytest.mark.parametrize("table", TABLES)
def test_the_charts_read_the_declared_columns_and_nothing_else(charts: Postgres, table: str) -> None:
    charts.execute("SET default_transaction_read_only = off")
    columns = list(TABLES[table].columns.keys())
    read = {name for name in columns if may(charts, "SELECT {} FROM fraud.{} LIMIT 0", name, table)}
    assert read == set(grants.CHARTS.get(table, ()))
    assert not may(charts, "INSERT INTO fraud.{} DEFAULT VALUES", table)
    assert not may(charts, "UPDATE fraud.{0} SET {1} = {1} WHERE false", table, columns[0])
    assert not may(charts, "DELETE FROM fraud.{} WHERE false", table)


@pytest.mark.parametrize(
    "call",
    [
        "ts_stat('SELECT ''a''::tsvector')",
        "query_to_xml('SELECT 1', true, true, '')",
        "query_to_xml_and_xmlschema('SELECT 1', true, true, '')",
        "table_to_xml('fraud.products', true, true, '')",
        "schema_to_xml('fraud', true, true, '')",
        "database_to_xml(true, true, '')",
        "pg_sleep(0)",
        "pg_sleep_for('0 s')",
        "set_config('statement_timeout', '0', false)",
        "pg_advisory_lock(1)",
        "pg_try_advisory_xact_lock(1)",
        "pg_terminate_backend(0)",
        "lo_create(0)",
        "lo_get(1)",
    ],
)
def test_the_charts_run_no_sql_of_text_and_neither_wait_nor_lock(charts: Postgres, call: str) -> None:
    assert not may(charts, f"SELECT {call}")


def test_functions_that_anybody_may_run_again_are_named_and_restricted(settings: Settings, charts: Postgres) -> None:
    assert functions.open_to_all(charts) == []
    with connect(settings, settings.postgres.admin, autocommit=True) as admin:
        admin.execute("GRANT EXECUTE ON FUNCTION pg_sleep(float8) TO PUBLIC")
        assert functions.open_to_all(charts) == ["pg_sleep(double precision)"]
        roles.ensure_schema(settings)
    assert functions.open_to_all(charts) == []


def test_only_the_writer_has_temporary_tables(writer: Postgres, reader: Postgres) -> None:
    assert may(writer, "CREATE TEMP TABLE staged (i int)")
    assert not may(reader, "CREATE TEMP TABLE staged (i int)")


def test_the_reader_begins_read_only_and_with_limits(settings: Settings) -> None:
    with connect(settings, settings.postgres.reader) as connection:
        for setting, value in roles.READER_SETTINGS.items():
            shown = connection.execute(SQL("SELECT current_setting({})").format(setting)).fetchone()
            assert shown == (value,), setting
        with pytest.raises(ReadOnlySqlTransaction):
            connection.execute("DELETE FROM fraud.products")


def test_a_query_of_the_reader_is_ended(settings: Settings) -> None:
    with connect(settings, settings.postgres.reader) as connection:
        connection.execute("SET statement_timeout = '50ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(5)")


def test_a_reader_that_holds_a_transaction_open_is_cut_off(settings: Settings) -> None:
    with connect(settings, settings.postgres.reader) as connection:
        connection.execute("SET idle_in_transaction_session_timeout = '50ms'")
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            connection.execute("SELECT 1")
            poll(lambda: connection.execute("SELECT 1") and None, 10, "the reader is cut off")


def test_readers_cannot_take_all_connections(settings: Settings) -> None:
    taken: list[Postgres] = []
    try:
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            while len(taken) <= roles.READER_CONNECTIONS:
                taken.append(connect(settings, settings.postgres.reader))
        connect(settings, settings.postgres.writer).close()
    finally:
        for connection in taken:
            connection.close()


def test_public_has_nothing(owner: Postgres) -> None:
    databases = owner.execute(
        "SELECT datname, acl.privilege_type FROM pg_database, LATERAL aclexplode(datacl) AS acl "
        "WHERE acl.grantee = 0 AND datname <> 'template0'"
    )
    assert databases.fetchall() == []
    schemas = owner.execute(
        "SELECT nspname FROM pg_namespace, LATERAL aclexplode(nspacl) AS acl "
        "WHERE acl.grantee = 0 AND nspname IN ('fraud', 'public')"
    )
    assert schemas.fetchall() == []


def test_a_table_that_nobody_declared_is_the_owners_alone(settings: Settings, owner: Postgres) -> None:
    owner.execute("CREATE TABLE fraud.later (i int)")
    try:
        roles.grant_tables(settings)
        for role in (settings.postgres.writer, settings.postgres.reader):
            with connect(settings, role) as connection:
                assert not may(connection, "SELECT FROM fraud.later")
    finally:
        owner.execute("DROP TABLE fraud.later")


@pytest.mark.parametrize(
    ("breakage", "named"),
    [
        ("GRANT DELETE ON fraud.stream_offsets TO fraud_writer", "fraud_writer has DELETE on fraud.stream_offsets"),
        ("GRANT UPDATE (scored) ON fraud.stream_batches TO fraud_writer", "fraud_writer has UPDATE (scored) on"),
        ("GRANT SELECT ON fraud.customers TO PUBLIC", "PUBLIC has SELECT on fraud.customers"),
        ("GRANT USAGE ON SEQUENCE fraud.static_versions_version_seq TO fraud_reader", "fraud_reader has USAGE on"),
        ("REVOKE INSERT ON fraud.dead_letters FROM fraud_writer", "fraud_writer lacks INSERT on fraud.dead_letters"),
        (
            "ALTER DEFAULT PRIVILEGES IN SCHEMA fraud GRANT SELECT ON TABLES TO fraud_reader",
            "fraud_reader gets SELECT by default",
        ),
    ],
)
def test_a_right_that_differs_is_named_and_put_right(
    settings: Settings, owner: Postgres, writer: Postgres, breakage: str, named: str
) -> None:
    owner.execute(breakage)
    [difference] = grants.differences(writer, settings.postgres)
    assert named in difference
    roles.grant_tables(settings)
    assert grants.differences(writer, settings.postgres) == []
