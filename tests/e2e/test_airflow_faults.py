"""`kill -9` of Airflow's processes: the stream goes on scoring meanwhile, and never runs twice."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg
import pytest

from fraudstream.jobs.jobs import jobs
from fraudstream.jobs.slot import Identity
from fraudstream.local import status
from fraudstream.local.parts.airflow_api import AirflowApi
from fraudstream.local.supervisor import Supervisor
from fraudstream.settings import Settings
from fraudstream.storage.connect import Postgres, connect
from fraudstream.storage.roles import AIRFLOW_SETTINGS
from tests.faults import rollups
from tests.polling import poll

WAIT_SECONDS = 180.0
LOOK_SECONDS = 0.3
DAG = "fraud_scoring_stream"
MODULE = b"spark_jobs.score_transactions"
LOCK_LIMIT = "idle_in_transaction_session_timeout"
#: Longer than the job's end and Airflow's delay before a retry take.
LOCKED_SECONDS = 20
RUNNING = "SELECT id::text FROM task_instance WHERE dag_id = 'fraud_scoring_stream' AND state = 'running'"


class Census:
    """Counts the streaming job's drivers of one platform again and again, and remembers the most."""

    def __init__(self, settings: Settings) -> None:
        self.most = 0
        self._var = f"FRAUDSTREAM_VAR_DIR={settings.paths.var}".encode()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._thread.join()

    def _count(self) -> None:
        while not self._end.wait(LOOK_SECONDS):
            self.most = max(self.most, sum(map(self._is_driver, psutil.pids())))

    def _is_driver(self, pid: int) -> bool:
        try:
            return MODULE in words(pid, "cmdline") and self._var in words(pid, "environ")
        except OSError:
            return False  # it has ended meanwhile


def words(pid: int, name: str) -> list[bytes]:
    """What /proc tells of a process; psutil takes three times as long for all command lines of a machine."""
    return Path(f"/proc/{pid}/{name}").read_bytes().split(b"\0")


@pytest.fixture(autouse=True)
def never_twice(platform: Settings) -> Iterator[None]:
    """Holds for every test here, with the accounting exact at its end."""
    census = Census(platform)
    yield
    census.close()
    assert census.most == 1
    with connect(platform, platform.postgres.writer) as database:
        database.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert list(rollups.differences(database)) == []


def stream(settings: Settings) -> Identity:
    return poll(lambda: jobs(settings)["stream"].slot.running, WAIT_SECONDS, "a running stream")


def wait_for_scores(settings: Settings, moment: float, what: str) -> None:
    """Returns when a transaction is committed that came after `moment`, epoch seconds."""
    query = "SELECT FROM fraud.scored_transactions WHERE ingest_time > to_timestamp(%s) LIMIT 1"
    with connect(settings, settings.postgres.writer, autocommit=True) as database:
        poll(lambda: database.execute(query, (moment,)).rowcount, WAIT_SECONDS, what)


@pytest.mark.parametrize("part", ["scheduler", "triggerer", "api-server", "dag-processor"])
def test_the_stream_outlives_a_part_of_airflow(platform: Settings, part: str) -> None:
    before = stream(platform)
    supervisor, name = Supervisor(platform), f"airflow-{part}"
    pid = poll(lambda: supervisor.states()[name].pid, WAIT_SECONDS, name)
    os.kill(pid, signal.SIGKILL)
    moment = time.time()
    wait_for_scores(platform, moment, f"scoring without {name}")

    def replaced() -> bool:
        now = supervisor.states()[name]
        return now.state == "RUNNING" and now.pid != pid

    poll(replaced, WAIT_SECONDS, f"{name} to be restarted")
    poll(lambda: not idle_workers_of(pid), WAIT_SECONDS, "what it left to be ended")
    assert stream(platform) == before


def idle_workers_of(group: int) -> list[psutil.Process]:
    """LocalExecutor's workers without a task, of the process group of one scheduler."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        with suppress(ProcessLookupError):
            if "LocalExecutor: <idle>" in " ".join(process.info["cmdline"] or ()) and os.getpgid(process.pid) == group:
                found.append(process)
    return found


def test_a_killed_task_process_leads_to_one_new_stream(platform: Settings) -> None:
    """The task's own process lives while it launches the job: the job's death calls for one, and that dies too."""
    before = stream(platform)
    os.kill(before.pid, signal.SIGKILL)
    task = poll(lambda: task_process(platform), WAIT_SECONDS, "the stream's task to run")
    task.kill()
    moment = time.time()
    wait_for_scores(platform, moment, "scoring again")
    assert stream(platform) != before


def test_a_lock_that_a_dead_scheduler_left_is_let_go(platform: Settings) -> None:
    """Workers that outlive a killed scheduler hold its connection, and so its lock on the Dag run, for ever (seen).

    What Airflow's connections begin with lets it go after a minute; here it is less, since nothing but that passes.
    """
    before = stream(platform)
    with metadata(platform) as orphaned:
        assert orphaned.execute(f"SHOW {LOCK_LIMIT}").fetchone() == (AIRFLOW_SETTINGS[LOCK_LIMIT],)
        orphaned.execute(f"SET {LOCK_LIMIT} = '{LOCKED_SECONDS}s'")
        locked = "SELECT FROM dag_run WHERE dag_id = 'fraud_scoring_stream' AND state = 'running' FOR UPDATE"
        assert orphaned.execute(locked).rowcount == 1
        os.kill(before.pid, signal.SIGKILL)
        moment = time.time()
        wait_for_scores(platform, moment, "scoring again")
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            orphaned.execute("SELECT 1")


def test_a_job_that_dies_under_a_paused_dag_is_told_and_comes_back(platform: Settings) -> None:
    """Airflow starts no task of a paused Dag, not even a running run's (apache/airflow#71381)."""
    api = AirflowApi(platform)
    before = stream(platform)
    api.call("PATCH", f"/dags/{DAG}?update_mask=is_paused", {"is_paused": True})
    os.kill(before.pid, signal.SIGKILL)
    told = "the stream has ended, and its Dag fraud_scoring_stream is paused"
    poll(lambda: any(told in line for line in status.collect(platform).problems), WAIT_SECONDS, "status to say so")
    assert any(told in line for line in api._send("GET", "/fraudstream/health")["alarms"])
    with metadata(platform) as connection:
        waiting = "SELECT state FROM task_instance WHERE dag_id = %s AND state IN ('scheduled', 'up_for_retry')"
        poll(lambda: connection.execute(waiting, (DAG,)).fetchone(), WAIT_SECONDS, "the task to wait")
    assert jobs(platform)["stream"].slot.running is None
    moment = time.time()
    api.start(DAG)
    wait_for_scores(platform, moment, "scoring again")
    assert not any(told in line for line in status.collect(platform).problems)


def test_a_job_that_ends_at_once_is_no_mismatch(platform: Settings) -> None:
    """A task that was resumed before Airflow had read its end as deferred was failed (apache/airflow#71580)."""
    began = datetime.now(UTC)
    for _ in range(3):
        os.kill(stream(platform).pid, signal.SIGKILL)
        poll(lambda: jobs(platform)["stream"].slot.running is None, WAIT_SECONDS, "the job to be gone")
    moment = time.time()
    wait_for_scores(platform, moment, "scoring again")
    with metadata(platform) as connection:
        mismatches = "SELECT extra FROM log WHERE event = 'state mismatch' AND dag_id = %s AND dttm > %s"
        assert connection.execute(mismatches, (DAG, began)).fetchall() == []


def metadata(settings: Settings) -> Postgres:
    """A connection to Airflow's database, as Airflow's."""
    role = settings.postgres.airflow_database
    return connect(settings, role, role)


def task_process(settings: Settings) -> psutil.Process | None:
    """The process in which Airflow runs the stream's task just now; it shows the task instance in its title."""
    with metadata(settings) as connection:
        titles = [f"airflow worker -- {identifier}" for (identifier,) in connection.execute(RUNNING)]
    for process in psutil.process_iter(["cmdline"]):
        if any(title in " ".join(process.info["cmdline"] or ()) for title in titles):
            return process
    return None
