"""A real Kafka and a real Postgres of the tests' own, under their own supervisord, in a folder of their own."""

from collections.abc import Iterator

import psycopg
import pytest

from fraudstream.local import jars, kafka, postgres, secrets
from fraudstream.local.down import down
from fraudstream.local.supervisor import Supervisor
from fraudstream.local.up import Up
from fraudstream.settings import Settings
from tests.isolation import isolated_settings

Postgres = psycopg.Connection[tuple[object, ...]]


def say_nothing(_: str) -> None:
    """Progress isn't shown in tests."""


@pytest.fixture(scope="session")
def settings() -> Iterator[Settings]:
    """Kafka with its topics, and Postgres with roles and schema. Environments and jars are the project's."""
    with isolated_settings() as made:
        try:
            start_servers(made)
            yield made
        finally:
            down(made, say_nothing)


def start_servers(settings: Settings) -> None:
    """The first steps of `fraudctl up`."""
    secrets.ensure(settings)
    for folder in (kafka.NAME, "spark-kafka"):
        jars.install(settings, folder)
    Supervisor(settings).apply([kafka.program(settings), postgres.program(settings)])
    up = Up(settings)
    up.postgres(say_nothing)
    up.kafka(say_nothing)
    up.schema(say_nothing)


@pytest.fixture
def writer(settings: Settings) -> Iterator[Postgres]:
    """A connection with the streaming job's rights."""
    with psycopg.connect(settings.writer_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def empty_tables(writer: Postgres) -> None:
    """No row in any table of the schema, for tests that count."""
    tables = writer.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'fraud' AND tablename <> 'alembic_version'"
    )
    names = [str(name) for (name,) in tables.fetchall()]
    first = ["fraud_alerts"]  # it refers to another
    for name in first + [name for name in names if name not in first]:
        writer.execute(f"DELETE FROM fraud.{name}")
