"""A real Kafka and a real Postgres of the tests' own, under their own supervisord, in a folder of their own."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fraudstream.local import jars, kafka, postgres, secrets
from fraudstream.local.down import down
from fraudstream.local.supervisor import Supervisor
from fraudstream.local.up import Up
from fraudstream.settings import ENV_PREFIX, PROJECT_DIR, Settings, load_settings

Postgres = psycopg.Connection[tuple[object, ...]]


def free_port() -> int:
    """A port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def say_nothing(_: str) -> None:
    """Progress isn't shown in tests."""


@pytest.fixture(scope="session")
def settings() -> Iterator[Settings]:
    """Kafka with its topics, and Postgres with roles and schema. Environments and jars are the project's."""
    folder = Path(tempfile.mkdtemp(prefix="fraudstream-"))  # short: supervisord's socket lies in it
    shared = load_settings().paths
    for name in ("venvs", "jars"):
        (folder / name).symlink_to(getattr(shared, name))
    ports = ("KAFKA__PORT", "KAFKA__CONTROLLER_PORT", "POSTGRES__PORT", "AIRFLOW__PORT", "SUPERSET__PORT")
    changed = {ENV_PREFIX + name: str(free_port()) for name in ports} | {
        ENV_PREFIX + "VAR_DIR": str(folder),
        ENV_PREFIX + "STREAM__SPARK_UI_PORT": "0",
        "PYTHONPATH": str(PROJECT_DIR),
    }
    before = dict(os.environ)
    os.environ.update(changed)
    made = load_settings()
    try:
        start_servers(made)
        yield made
    finally:
        down(made, say_nothing)
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder)


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
