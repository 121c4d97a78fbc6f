"""Settings and servers for tests: a folder and ports of their own, with the project's environments and jars."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from fraudstream.files import delete
from fraudstream.local import secrets
from fraudstream.local.down import down
from fraudstream.local.install import jars
from fraudstream.local.parts import kafka, postgres
from fraudstream.local.supervisor import Supervisor
from fraudstream.local.up import Up
from fraudstream.settings import ENV_PREFIX, PROJECT_DIR, Settings, load_settings
from fraudstream.storage.connect import connect

PORTS = ("KAFKA__PORT", "KAFKA__CONTROLLER_PORT", "POSTGRES__PORT", "AIRFLOW__PORT", "SUPERSET__PORT")

PORT_RANGE = range(20_000, 32_000)
PORTS_FILE = Path(tempfile.gettempdir()) / f"fraudstream-test-ports-{os.getuid()}"

#: What isn't the stream's own: it stays when that starts over.
KEPT_TABLES = (
    "alembic_version",
    "customers",
    "entity_risk",
    "entity_risk_versions",
    "model_versions",
    "products",
    "static_versions",
    "terminal_frauds",
    "terminal_hours",
)


@contextmanager
def isolated_settings(others: Mapping[str, str] = MappingProxyType({})) -> Iterator[Settings]:
    """Settings that touch nothing of the user's platform; also in `os.environ`, for child processes.

    `others` are set besides, by their names in the environment.
    """
    folder = Path(tempfile.mkdtemp(prefix="fraudstream-"))  # short: supervisord's socket lies in it
    shared = load_settings().paths
    for name in ("venvs", "jars"):
        (folder / name).symlink_to(getattr(shared, name))
    before = dict(os.environ)
    os.environ.update(
        {ENV_PREFIX + name: str(free_port()) for name in PORTS}
        | {
            ENV_PREFIX + "VAR_DIR": str(folder),
            ENV_PREFIX + "STREAM__SPARK_UI_PORT": "0",
            "PYTHONPATH": str(PROJECT_DIR),
        }
        | dict(others)
    )
    try:
        yield load_settings()
    finally:
        os.environ.clear()
        os.environ.update(before)
        delete(folder)


@contextmanager
def isolated_servers() -> Iterator[Settings]:
    """A real Kafka with its topics and a real Postgres with its schema: the first steps of `fraudctl up`."""
    with bare_servers() as settings:
        Up(settings).schema(_say_nothing)
        yield settings


@contextmanager
def bare_servers() -> Iterator[Settings]:
    """A real Kafka with its topics and a real Postgres with its roles, without the schema."""
    with isolated_settings() as settings:
        secrets.ensure(settings)
        for folder in (kafka.NAME, *jars.SPARK):
            jars.install(settings, folder)
        try:
            _start_bare(settings)
            yield settings
        finally:
            stop_servers(settings)


def start_servers(settings: Settings) -> None:
    """Kafka and Postgres, with topics, roles and schema."""
    _start_bare(settings)
    Up(settings).schema(_say_nothing)


def _start_bare(settings: Settings) -> None:
    Supervisor(settings).apply([kafka.part(settings), postgres.part(settings)])
    up = Up(settings)
    up.postgres(_say_nothing)
    up.kafka(_say_nothing)


def stop_servers(settings: Settings) -> None:
    """Ends them; what they hold stays."""
    down(settings, _say_nothing)


def truncate_tables(settings: Settings, kept: Sequence[str] = KEPT_TABLES) -> None:
    """Truncates all tables but `kept`: what the stream knows and has written, with the ledger; no job may run."""
    with connect(settings, settings.postgres.admin, name="testbed") as admin:
        names = "SELECT tablename FROM pg_tables WHERE schemaname = 'fraud' AND tablename <> ALL(%s)"
        tables = [f"fraud.{name}" for (name,) in admin.execute(names, (list(kept),))]
        admin.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY".encode())


def _say_nothing(_: str) -> None:
    """Progress isn't shown in tests."""


def free_port() -> int:
    """A port on loopback that nobody listens on, and that no other process of tests is given meanwhile.

    It lies below the ports that systems give to outgoing connections, which could take it before a server does. They
    are given round-robin by all processes of a user, who share a file with the last one.
    """
    with PORTS_FILE.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        last = int(file.read() or PORT_RANGE[0])
        port = next(port for port in _ports_after(last) if _is_free(port))
        file.truncate(0)
        file.write(str(port))
    return port


def _ports_after(last: int) -> Iterator[int]:
    yield from range(last + 1, PORT_RANGE[-1] + 1)
    yield from range(PORT_RANGE[0], last + 1)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do, after connections of one before
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
