"""A Spark standalone cluster of this machine's own processes: a master and workers on loopback, with a secret."""

import json
import os
import secrets
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyspark

from fraudstream.settings import ENV_PREFIX, Settings
from testbed.isolation import free_port

START_SECONDS = 300.0
LOOPBACK = "127.0.0.1"
EXECUTOR_MEMORY_MB = 640
#: Heap of master and worker, which compute nothing.
DAEMON_MEMORY = "192m"


def cluster_settings(folder: Path) -> dict[str, str]:
    """Settings, by their names in the environment, of a stream on a cluster whose files lie in `folder`."""
    return {
        ENV_PREFIX + "STREAM__CHECKPOINT": f"file://{folder}/checkpoint",
        ENV_PREFIX + "CLUSTER__DRIVER_HOST": LOOPBACK,
        ENV_PREFIX + "CLUSTER__EXECUTOR_MEMORY_MB": str(EXECUTOR_MEMORY_MB),
        ENV_PREFIX + "CLUSTER__PROPERTIES_FILE": str(folder / "spark.properties"),
        # A machine that is shared may starve the start of a driver and of two executors.
        ENV_PREFIX + "STREAM__STARTUP_TIMEOUT_SECONDS": "600",
        ENV_PREFIX + "STREAM__HEARTBEAT_TIMEOUT_SECONDS": "300",
    }


def spark_home() -> Path:
    """Spark, as it lies in this interpreter's package pyspark, or where the environment says."""
    return Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)


def class_path(settings: Settings) -> str:
    """What a driver of this machine has before Spark's own jars: with it, too, a mapped archive of classes fits."""
    return ":".join(map(str, (settings.paths.jars / "spark-files").resolve().glob("*.jar")))


@dataclass
class Worker:
    """A worker; its executor, a child, ends with the context even when the worker was killed."""

    process: subprocess.Popen[bytes]
    seen: set[psutil.Process] = field(default_factory=set)

    def executors(self) -> list[psutil.Process]:
        """The executors' JVMs that it runs now."""
        with suppress(psutil.NoSuchProcess):
            found = [child for child in psutil.Process(self.process.pid).children() if child.name() == "java"]
            self.seen.update(found)
            return found
        return []

    def kill(self) -> float:
        """SIGKILL to the worker, its executors and their Python, as when a machine is lost. Returns when, epoch s."""
        with suppress(psutil.NoSuchProcess):
            self.seen.update(psutil.Process(self.process.pid).children(recursive=True))
        moment = time.time()
        self.process.kill()
        for process in self.seen:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        return moment


class Cluster:
    """A master and its workers. `folder` holds their logs, the executors' too, and `spark.properties` with the secret.

    That file is also what `FRAUDSTREAM_CLUSTER__PROPERTIES_FILE` of a stream on this cluster has to name.
    """

    def __init__(self, settings: Settings, folder: Path, cores: int = 1) -> None:
        self.secret = secrets.token_urlsafe(24)
        self.workers: list[Worker] = []
        self._folder, self._cores, self._home = folder, cores, spark_home()
        self._class_path = class_path(settings)
        self._ports = free_port(), free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self._properties = folder / "spark.properties"
        self._properties.touch(mode=0o600)
        self._properties.write_text(
            "spark.authenticate true\n"
            f"spark.authenticate.secret {self.secret}\n"
            "spark.network.crypto.enabled true\n"
            "spark.master.rest.enabled false\n"
            "spark.worker.cleanup.enabled true\n"
            f"spark.driver.extraClassPath {self._class_path}\n"
            f"spark.executor.extraClassPath {self._class_path}\n"
        )
        self._master = self._spawn("master", "master.Master", "--port", self._ports[0], "--webui-port", self._ports[1])

    @property
    def url(self) -> str:
        """The cluster's address, as `--master` takes it."""
        return f"spark://{LOOPBACK}:{self._ports[0]}"

    def add_worker(self) -> Worker:
        """Starts a worker; it takes a driver's executors as soon as it is registered."""
        work = self._folder / f"work-{len(self.workers)}"
        process = self._spawn(
            work.name,
            "worker.Worker",
            *(
                "--webui-port",
                0,
                "--cores",
                self._cores,
                "--memory",
                f"{EXECUTOR_MEMORY_MB}m",
                "--work-dir",
                work,
                self.url,
            ),
        )
        self.workers.append(Worker(process))
        return self.workers[-1]

    def wait(self) -> None:
        """Returns when the master knows all workers. Raises TimeoutError with the master's last words."""
        deadline = time.monotonic() + START_SECONDS
        while self._registered() < len(self.workers):
            if time.monotonic() > deadline:
                raise TimeoutError((self._folder / "master.log").read_text()[-2000:])
            time.sleep(0.2)

    def close(self) -> None:
        """Ends all of it."""
        for worker in self.workers:
            worker.kill()
        self._master.send_signal(signal.SIGTERM)
        self._master.wait()

    def _registered(self) -> int:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self._ports[1]}/json/", timeout=5) as answer:
                return sum(worker["state"] == "ALIVE" for worker in json.loads(answer.read())["workers"])
        except OSError:
            return 0  # it doesn't answer yet

    def _spawn(self, name: str, entry: str, *arguments: object) -> subprocess.Popen[bytes]:
        home = self._home
        own = {
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": LOOPBACK,
            "SPARK_LOCAL_DIRS": str(self._folder / "scratch"),
            "SPARK_DAEMON_CLASSPATH": self._class_path,
            "SPARK_DAEMON_MEMORY": DAEMON_MEMORY,
            "SPARK_DAEMON_JAVA_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        }
        # What the tests' own environment has of ours must not help the executors.
        inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH" and ENV_PREFIX not in key}
        command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{entry}", "--host", LOOPBACK]
        command += ["--properties-file", str(self._properties), *map(str, arguments)]
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, env=inherited | own, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )


@contextmanager
def standalone_cluster(settings: Settings, folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """A running cluster of one-core workers; all of its processes end with the context."""
    cluster = Cluster(settings, folder)
    try:
        for _ in range(workers):
            cluster.add_worker()
        cluster.wait()
        yield cluster
    finally:
        cluster.close()
