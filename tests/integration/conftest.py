"""A real Kafka and a real Postgres of the tests' own, under their own supervisord, in a folder of their own."""

import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from fraudstream.files import delete
from fraudstream.local.parts import kafka, postgres, superset
from fraudstream.local.supervisor import Supervisor
from fraudstream.messages.contracts import Topic
from fraudstream.settings import Settings
from fraudstream.simulator.history import write_history
from fraudstream.simulator.history_plan import HistoryPlan
from fraudstream.storage.connect import connect
from spark_jobs import sink
from spark_jobs.fencing import Driver
from testbed.isolation import isolated_servers
from testbed.person import Person
from tests.emptying import expire, forget_the_stream, make_topics_anew
from tests.streaming import Job, StartJob, become_driver

Postgres = psycopg.Connection[tuple[object, ...]]


@pytest.fixture(scope="session")
def settings(mapped_classes: None) -> Iterator[Settings]:
    """Kafka with its topics, and Postgres with roles and schema, shared by the suite."""
    with isolated_servers() as made:
        yield made


@pytest.fixture(scope="session")
def server(settings: Settings) -> Iterator[Settings]:
    """Superset beside the suite's Kafka and Postgres, shared by the modules about it, which are the suite's last."""
    superset.prepare(settings)
    supervisor = Supervisor(settings)
    supervisor.apply([kafka.part(settings), postgres.part(settings), *superset.parts(settings)])
    supervisor.start(superset.NAME)
    superset.wait_healthy(settings)
    yield settings
    supervisor.stop(superset.NAME)


@pytest.fixture(scope="module")
def signed_in(server: Settings) -> Callable[[str], Person]:
    """Signs in one of Superset's users, as its form does."""

    def sign_in(username: str) -> Person:
        person = Person(server.superset_url)
        if username == "admin":
            password = json.loads(server.paths.credentials.read_text())["superset"]["password"]
        else:
            password = superset.password_file(server, username).read_text()
        person.get("/login/")
        person.post("/login/", username=username, password=password)
        return person

    return sign_in


@pytest.fixture(scope="module")
def analyst(signed_in: Callable[[str], Person]) -> Person:
    return signed_in(superset.ANALYST)


@pytest.fixture(scope="module")
def viewer(signed_in: Callable[[str], Person]) -> Person:
    return signed_in(superset.VIEWER)


@pytest.fixture(scope="module")
def admin(signed_in: Callable[[str], Person]) -> Person:
    return signed_in("admin")


@pytest.fixture(scope="module")
def emptied(settings: Settings) -> Iterator[Settings]:
    """The suite's servers as `fraudctl up` makes them, holding nothing, for a module that counts. No job may run."""
    make_topics_anew(settings)
    forget_the_stream(settings)
    yield settings
    forget_the_stream(settings)


@pytest.fixture(scope="module")
def database(settings: Settings) -> Iterator[Postgres]:
    """The same as `writer`, for all tests of a module."""
    with connect(settings, settings.postgres.writer, autocommit=True) as connection:
        yield connection


@pytest.fixture
def start_job(settings: Settings) -> Iterator[StartJob]:
    """Starts streaming jobs, and ends those that still run."""
    started: list[Job] = []

    def start() -> Job:
        started.append(Job(settings))
        return started[-1]

    yield start
    for job in started:
        job.end(signal.SIGKILL)


@pytest.fixture
def writer(settings: Settings) -> Iterator[Postgres]:
    """A connection with the streaming job's rights."""
    with connect(settings, settings.postgres.writer, autocommit=True) as connection:
        yield connection


@pytest.fixture
def driver(settings: Settings, writer: Postgres) -> Driver:
    """The query's one driver, so that a test can commit as the streaming job does."""
    sink.prepare(writer)
    return become_driver(writer, settings)


@pytest.fixture
def owner(settings: Settings) -> Iterator[Postgres]:
    """A connection with the rights of the schema's owner, for what nobody at work may do."""
    with connect(settings, settings.postgres.admin, autocommit=True) as connection:
        connection.execute("SET ROLE fraud_owner")
        yield connection


@pytest.fixture
def empty_tables(owner: Postgres) -> None:
    """No row in any table of the schema, for tests that count.

    Rows are deleted, since TRUNCATE would wait for whoever reads, and make the files of every table anew for each test.
    """
    tables = owner.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'fraud' AND tablename <> 'alembic_version'"
    )
    names = [str(name) for (name,) in tables.fetchall()]
    first = ["fraud_alerts", "list_entries"]  # they refer to others
    ordered = first + [name for name in names if name not in first]
    owner.execute("; ".join(f"DELETE FROM fraud.{name}" for name in ordered).encode())


@pytest.fixture
def empty_files(settings: Settings) -> None:
    """Nothing archived, no snapshot, no history of a shop's own files, and no record of erasures."""
    for folder in (settings.paths.archive, settings.paths.snapshots, settings.paths.mapped):
        delete(folder)
    delete(settings.paths.erasures)
    expire(settings, Topic.TRANSACTION_FEATURES, Topic.TRANSACTION_LABELS)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop's 35 days until two hours ago, 1,500 transactions."""
    folder = tmp_path_factory.mktemp("past") / "history"
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    list(write_history(folder, HistoryPlan(42, 300, 200, 1_500, 0.05, 35, end), 1))
    return folder


@pytest.fixture
def no_snapshots(settings: Settings) -> Iterator[None]:
    """A platform without a snapshot."""
    yield
    for folder in settings.paths.snapshots.iterdir():
        delete(folder)
