"""A stream for benchmarks: Kafka and Postgres in a folder and on ports of their own, and what uses them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from fraudstream.errors import FraudstreamError
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.kafka.offsets import Offsets
from fraudstream.ledger.gaps import ANSWER_SECONDS
from fraudstream.local.up import Up
from fraudstream.messages.contracts import INPUT_TOPICS
from fraudstream.settings import ENV_PREFIX, PROJECT_DIR, Settings
from fraudstream.storage.connect import Postgres, connect
from testbed.isolation import bare_servers

STOP_SECONDS = 60.0
#: What the shop is asked for when it sends a backlog; a busy machine sends less.
SEND_RATE = 20_000


class BenchmarkError(FraudstreamError):
    """The program that was to be measured broke."""


@dataclass
class Program:
    """A process of the benchmark's, which logs to a file."""

    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raises BenchmarkError with the log's end when the process has ended."""
        if self.process.poll() is not None:
            raise BenchmarkError(
                f"{self.log.stem} ended with status {self.process.returncode}: {self.log.read_text()[-2000:]}"
            )

    def stop(self) -> None:
        """Asks it to end, and waits; kills it after `STOP_SECONDS`."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Stream:
    """Servers, static data and a model; the job and the simulated shop run when they are told to."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self.settings = settings
        self.topics: tuple[str, ...] = INPUT_TOPICS
        self._stack = stack

    def run(
        self, name: str, *arguments: str, environment: Mapping[str, str] | None = None, runtime: str = "spark"
    ) -> Program:
        """Starts a module in a runtime's environment; stopped at the latest at the benchmark's end.

        `environment` is set on top of the benchmark's own.
        """
        log = self.settings.paths.logs / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(self.settings.paths.python(runtime)), "-u", "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=PROJECT_DIR,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        program = Program(process, log)
        self._stack.callback(program.stop)
        return program

    def start_job(self, master: str = "local[2,4]", environment: Mapping[str, str] | None = None) -> Program:
        """The streaming job, as Airflow would launch it; `environment` as in `run`."""
        return self.run("stream", "spark_jobs.score_transactions", "--master", master, environment=environment)

    def start_shop(self, *arguments: str) -> Program:
        """The simulated shop, live, with the arguments of `fraudctl produce`."""
        return self.run("producer", "fraudstream.simulator", "produce", *arguments)

    def send_backlog(self, events: int, customers: int | None = None) -> None:
        """Lets the shop send so many events as fast as it can; `customers` as many as it has by default.

        Raises BenchmarkError.
        """
        others = ["--customers", str(customers)] if customers else []
        shop = self.start_shop("--rate", str(SEND_RATE), "--events", str(events), *others)
        if shop.process.wait():
            raise BenchmarkError(f"the simulated shop failed: {shop.log.read_text()[-2000:]}")

    def refresh_entity_risk(self) -> Program:
        """A refresh, as the Dag `refresh_entity_risk` does it."""
        return self.run("entity-risk", "fraudstream.static_data.entity_risk")

    def make_policy(self) -> None:
        """50 live rules and 100,000 list entries, which are at work when the job starts. Raises BenchmarkError."""
        maker = self.run("made-policy", "benchmarks.measuring.made_policy")
        if maker.process.wait():
            raise BenchmarkError(f"no policy was made: {maker.log.read_text()[-2000:]}")

    def read_also(self, mappings: Path, topics: tuple[str, ...]) -> None:
        """Has the job read `topics` of a shop's own form, by the folder of their mappings, beside the platform's."""
        os.environ[f"{ENV_PREFIX}SOURCES"] = str(mappings)
        self.settings = self.settings.model_copy(update={"sources": mappings})
        self.topics = (*INPUT_TOPICS, *topics)

    def ends(self) -> Offsets:
        """Ends of the input topics now."""
        return kafka_offsets.latest(self.settings.kafka, self.topics, ANSWER_SECONDS)

    def connect(self) -> Postgres:
        """A connection of the reader's, which sees each statement's own moment."""
        return connect(self.settings, self.settings.postgres.reader, name="bench", autocommit=True)

    def lag(self, database: Postgres) -> int:
        """Messages that lie in Kafka and aren't in the ledger."""
        rows = database.execute("SELECT topic, kafka_partition, next_offset FROM fraud.stream_offsets").fetchall()
        return kafka_offsets.unread(self.ends(), {(topic, partition): offset for topic, partition, offset in rows})


@contextmanager
def fresh_stream() -> Iterator[Stream]:
    """A stream that has seen nothing yet; everything of it ends, and its folder is deleted, with the context."""
    with bare_stream() as stream:
        up = Up(stream.settings)
        for step in (up.schema, up.static_data, up.model):
            step(lambda _: None)
        yield stream


@contextmanager
def bare_stream() -> Iterator[Stream]:
    """As `fresh_stream`, still without schema, static data and model."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))  # so that clean-ups run
    with bare_servers() as settings, ExitStack() as stack:
        if not settings.paths.python("spark").exists():
            raise BenchmarkError(f"the spark environment is missing in {settings.paths.venvs}: run ./fraudctl up first")
        yield Stream(settings, stack)


def wait_until(look: Callable[[], bool], program: Program, seconds: float, what: str) -> None:
    """Polls `look`. Raises BenchmarkError after `seconds`, or when `program` has ended."""
    deadline = time.monotonic() + seconds
    while not look():
        program.check()
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{what}: not within {seconds:.0f} s; {program.log.read_text()[-2000:]}")
        time.sleep(0.5)


def with_children(pid: int | None) -> list[psutil.Process]:
    """The process and all below it; none of one that doesn't run."""
    with suppress(psutil.NoSuchProcess):
        if pid:
            process = psutil.Process(pid)
            return [process, *process.children(recursive=True)]
    return []


def parts_of(job: psutil.Process) -> dict[str, list[psutil.Process]]:
    """The job's processes by part: the Python driver, its JVM, the daemon that forks Python workers, the workers."""
    parts: dict[str, list[psutil.Process]] = {"driver": [job], "jvm": [], "daemon": [], "workers": [], "other": []}
    for child, command in _children(job):
        parts["jvm" if Path(command[0]).name == "java" else "other"].append(child)
        for daemon, its_command in _children(child):
            is_daemon = "spark_jobs.daemon" in its_command
            parts["daemon" if is_daemon else "other"].append(daemon)
            parts["workers" if is_daemon else "other"].extend(worker for worker, _ in _children(daemon))
    return parts


def _children(process: psutil.Process) -> Iterator[tuple[psutil.Process, list[str]]]:
    """With their command lines; one that ends meanwhile is left out."""
    with suppress(psutil.NoSuchProcess):
        for child in process.children():
            with suppress(psutil.NoSuchProcess):
                yield child, child.cmdline() or [child.name()]
