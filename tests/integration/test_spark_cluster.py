"""The streaming job on a Spark cluster: both workers score, one is lost, and nothing else is."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import urllib.request
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import psutil
import pytest

from fraudstream.settings import ENV_PREFIX, PROJECT_DIR, Settings
from model.serving.registry import ensure_pretrained
from testbed.isolation import free_port
from testbed.spark_cluster import LOOPBACK, Cluster, cluster_settings, spark_home, standalone_cluster
from tests.faults.arena import STREAM, Arena
from tests.faults.invariants import assert_all_hold
from tests.faults.keeper import Launch
from tests.streaming import Postgres

RATE = 60.0
SEED = 11
SCORED = "SELECT count(*) FROM fraud.scored_transactions"


@dataclass
class Stage:
    """The job on two workers of one core each, and a shop. `folder` is what driver and workers share."""

    arena: Arena
    cluster: Cluster
    folder: Path
    environment: dict[str, str]
    ui_port: int

    def scoring_executors(self) -> set[str]:
        """The executors that had rows in a stage with state and scoring, the newest that two of them had a part in."""
        [application] = self.spark("applications")
        path = f"applications/{application['id']}"
        alive = {executor["id"] for executor in self.spark(f"{path}/executors") if executor["isActive"]}
        for stage in self.spark(f"{path}/stages?status=complete"):
            if stage["shuffleReadRecords"]:
                busy = self.executors_with_rows(f"{path}/stages/{stage['stageId']}/{stage['attemptId']}") & alive
                if len(busy) > 1:
                    return busy
        return set()

    def working_executors(self) -> set[str]:
        """The executors of now that have ended tasks."""
        [application] = self.spark("applications")
        executors = self.spark(f"applications/{application['id']}/executors")
        return {executor["id"] for executor in executors if executor["isActive"] and executor["completedTasks"]}

    def executors_with_rows(self, attempt: str) -> set[str]:
        """Of a stage's attempt; none when Spark has forgotten it meanwhile."""
        try:
            tasks = self.spark(attempt)["tasks"].values()
        except HTTPError as error:
            assert error.code == HTTPStatus.NOT_FOUND
            return set()
        metrics = [(task["executorId"], task["taskMetrics"]) for task in tasks if "taskMetrics" in task]
        return {executor for executor, found in metrics if found["shuffleReadMetrics"]["recordsRead"]}

    def spark(self, path: str) -> Any:
        """What Spark's UI tells programs."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.ui_port}/api/v1/{path}", timeout=10) as answer:
            return json.loads(answer.read())


@pytest.fixture(scope="module")
def stage(emptied: Settings, database: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    ensure_pretrained(database, emptied.paths.models)
    folder, ui_port = tmp_path_factory.mktemp("cluster"), free_port()
    own = cluster_settings(folder) | {
        ENV_PREFIX + "STREAM__SPARK_UI_PORT": str(ui_port),
        ENV_PREFIX + "STREAM__TRIGGER_SECONDS": "2",  # nothing here is about latency, and a micro-batch costs the same
    }
    made = Arena(emptied, RATE, SEED)
    with standalone_cluster(emptied, folder) as cluster:
        made.stream.launch = Launch((STREAM[0], "--master", cluster.url), environment=own)
        try:
            made.stream.start()
            made.shop.start()
            made.until(lambda: made.value(SCORED), "scored transactions")
            yield Stage(made, cluster, folder, own, ui_port)
        finally:
            made.close()


def test_both_workers_score(stage: Stage) -> None:
    stage.arena.until(lambda: len(stage.scoring_executors()) == 2, "rows in scoring tasks of two executors")
    assert [len(worker.executors()) for worker in stage.cluster.workers] == [1, 1]


def test_the_secret_is_on_no_command_line_and_in_no_log_and_nothing_listens_beyond_loopback(stage: Stage) -> None:
    secret = stage.cluster.secret
    lines = [line for process in psutil.process_iter() if (line := _command_line(process))]
    assert any("CoarseGrainedExecutorBackend" in line for line in lines)
    assert not [line for line in lines if secret in line]
    [application] = stage.spark("applications")
    shown = json.dumps(stage.spark(f"applications/{application['id']}/environment"))
    assert "spark.authenticate.secret" in shown
    assert secret not in shown
    logs = [stage.arena.stream.job.log, *stage.folder.glob("*.log"), *stage.folder.glob("work-*/*/*/std*")]
    assert len(logs) >= 1 + 3 + 2 * 2
    assert [log for log in logs if secret in log.read_text(errors="replace")] == []
    running = stage.arena.stream.running
    assert running is not None
    driver = [process for process in psutil.Process(running.pid).children() if process.name() == "java"]
    executors = [executor for worker in stage.cluster.workers for executor in worker.executors()]
    assert {_listens_on(process) for process in driver + executors} == {frozenset({LOOPBACK})}


def test_a_killed_worker_costs_no_message_and_a_new_one_takes_its_part(
    stage: Stage, record_property: Callable[[str, object], None]
) -> None:
    before = stage.arena.stream.running
    moment = stage.cluster.workers[0].kill()
    record_property("seconds from a worker's kill to the next scored commit", stage.arena.recover(moment, endings=1))
    assert stage.arena.stream.running == before  # the same driver: Spark itself goes on with what is left
    assert_all_hold(stage.arena.settings, stage.arena.acknowledged())
    stage.cluster.add_worker()
    # Any task: those with state stay where it lies while that executor is free within spark.locality.wait.
    stage.arena.until(lambda: len(stage.working_executors()) == 2, "tasks ended by the new executor")


def test_spark_submit_runs_it_with_a_packed_environment(stage: Stage) -> None:
    """As a driver's pod or a YARN application runs it; the checkpoint is the one from before."""
    stage.arena.stream.stop()
    archive = stage.folder / "environment.tar.gz"
    pack_environment(archive)
    with submitted(stage, {ENV_PREFIX + "CLUSTER__PYTHON_ARCHIVE": str(archive)}) as driver:
        stage.arena.until(lambda: python_on(stage.cluster) or driver.poll() is not None, "Python on executors")
        assert driver.poll() is None, "the driver has ended: its log says why"
        stage.arena.drain()
        daemons = python_on(stage.cluster)
        assert daemons
        assert all(line.startswith("./environment/bin/python") for line in daemons)
    found = assert_all_hold(stage.arena.settings, stage.arena.acknowledged(), drained=True)
    assert found.transactions >= len(stage.arena.acknowledged()) > 0


@contextmanager
def submitted(stage: Stage, settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The job, started by spark-submit, until the context's end."""
    home = spark_home()
    jars = ",".join(str(jar) for jar in (stage.arena.settings.paths.jars / "spark-kafka").glob("*.jar"))
    command = [str(home / "bin" / "spark-submit"), "--master", stage.cluster.url, "--jars", jars]
    command += ["--properties-file", str(stage.folder / "spark.properties")]
    command += ["--conf", f"spark.driver.host={LOOPBACK}", "--conf", f"spark.driver.bindAddress={LOOPBACK}"]
    command.append(str(PROJECT_DIR / "spark_jobs" / "score_transactions.py"))
    own = {"PYTHONPATH": str(PROJECT_DIR), "PYTHONSAFEPATH": "1", "SPARK_HOME": str(home), "SPARK_LOCAL_IP": LOOPBACK}
    own["PYSPARK_DRIVER_PYTHON"] = sys.executable  # spark-submit's own choice is the PATH's python3
    with stage.arena.stream.job.log.open("ab") as log:
        process = subprocess.Popen(
            command, env=os.environ | stage.environment | settings | own, cwd=stage.folder, stdout=log, stderr=log
        )
    try:
        yield process
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(60)


def pack_environment(archive: Path) -> None:
    """An environment of its own, thin: the libraries are the tests'. venv-pack puts them in."""
    folder = archive.with_name("thin")
    venv.create(folder, symlinks=True)
    [packages] = folder.glob("lib/python3*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder, ".")


def python_on(cluster: Cluster) -> list[str]:
    """The command lines of the daemons that executors fork Python workers from."""
    children: list[psutil.Process] = []
    for executor in (executor for worker in cluster.workers for executor in worker.executors()):
        with suppress(psutil.NoSuchProcess):  # the driver before has just ended, and with it this one
            children += executor.children()
    return [line for child in children if "spark_jobs.daemon" in (line := _command_line(child))]


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended, or is somebody else's
        return ""


def _listens_on(process: psutil.Process) -> frozenset[str]:
    found = [c.laddr.ip for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    return frozenset(ip.removeprefix("::ffff:") for ip in found)
