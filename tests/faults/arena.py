"""What the faults happen in: real servers, the job and a steady shop, each kept running, and a clock for recovery."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from fraudstream.files import delete
from fraudstream.jobs.jobs import jobs
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.local.supervisor import Supervisor
from fraudstream.messages.contracts import INPUT_TOPICS, Topic
from fraudstream.settings import PROJECT_DIR, Settings
from fraudstream.storage.connect import Postgres, connect
from model.serving.registry import ensure_pretrained
from spark_jobs.checkpoint import location
from testbed.isolation import isolated_servers, truncate_tables
from tests.faults import disks
from tests.faults.keeper import Keeper, Launch
from tests.polling import poll

STREAM = ("spark_jobs.score_transactions", "--master", "local[2,4]")
#: A recovery, or whatever is waited for here, takes seconds; machines that are shared may take much longer.
WAIT_SECONDS = 300.0
#: Also some of each thing that can be wrong with a real shop's messages.
DISORDER = ("--duplicate-rate", "0.01", "--out-of-order-rate", "0.02", "--malformed-rate", "0.005")

Found = TypeVar("Found")


class Arena:
    """Kafka, Postgres, the streaming job and a shop. `rate` is in events per second."""

    def __init__(self, settings: Settings, rate: float, seed: int, code: Path = PROJECT_DIR) -> None:
        self.settings = settings
        known = jobs(settings)
        importable = {"PYTHONPATH": str(code)}
        self.stream = Keeper(settings, known["stream"], Launch(STREAM, code, importable))
        self.acknowledged_file = settings.paths.var / "acknowledged"
        sending = ("tests.faults.traffic", str(self.acknowledged_file), "produce", "--rate", str(rate))
        sending += ("--seed", str(seed), *DISORDER)
        shorter = {"FRAUDSTREAM_PRODUCER__LABEL_DELAY_SECONDS": "10"}
        self.shop = Keeper(settings, known["producer"], Launch(sending, environment=shorter))
        self.supervisor = Supervisor(settings)
        self.recoveries: dict[str, float] = {}
        self._database: Postgres | None = None
        self._mounted: list[Path] = []

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of one query, as the writer, in a connection that is kept: to sign in costs more than most queries.

        Waits while Postgres is away.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                if self._database is None:
                    self._database = connect(self.settings, self.settings.postgres.writer, autocommit=True)
                return self._database.execute(sql, parameters).fetchall()
            except psycopg.OperationalError:
                self._forget_the_database()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _forget_the_database(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def value(self, sql: str, *parameters: object) -> Any:
        """The only value of a query's only row."""
        return self.query(sql, *parameters)[0][0]

    def checkpoint(self) -> Path:
        """The folder of the checkpoint in use; a rebuild begins another one."""
        generation = self.value("SELECT coalesce(max(generation), 0) FROM fraud.stream_queries")
        return Path(location(self.settings.checkpoint, generation))

    def acknowledged(self) -> set[str]:
        """The ids of the transactions that Kafka acknowledged so far."""
        return set(self.acknowledged_file.read_text().split()) if self.acknowledged_file.exists() else set()

    def read(self) -> int:
        """Messages that are accounted for."""
        return int(self.value("SELECT coalesce(sum(next_offset - first_offset), 0) FROM fraud.stream_offsets"))

    def until(self, look: Callable[[], Found], what: str, endings: int = 6) -> Found:
        """Polls `look`; fails also when the job ended `endings` times meanwhile: it doesn't recover by itself."""
        before = len(self.stream.endings)

        def look_again() -> Found:
            ended = self.stream.endings[before:]
            if len(ended) >= endings:
                said = [line for line in self.stream.log().splitlines() if " ERROR " in line][-3:]
                pytest.fail(f"{what}: the job ended {len(ended)} times, at last with {ended[-1].how}: {said}")
            return look()

        return poll(look_again, WAIT_SECONDS, what)

    def scored_since(self, moment: float) -> bool:
        """Whether a transaction that reached Kafka after `moment` (epoch seconds) was committed."""
        newest = (
            "SELECT EXISTS (SELECT FROM fraud.scored_transactions WHERE ingest_time > to_timestamp(%s) AND batch_id IN "
            "(SELECT batch_id FROM fraud.stream_batches ORDER BY committed_at DESC LIMIT 3))"
        )
        return bool(self.value(newest, moment))

    def recover(self, moment: float, endings: int = 6) -> float:
        """Waits until what came after `moment` (epoch seconds) is scored. Returns the seconds from then to now."""
        self.until(lambda: self.scored_since(moment), "scoring again", endings)
        return time.time() - moment

    def record(self, fault: str, seconds: float) -> None:
        """Keeps how long a recovery took, for the summary at the end."""
        self.recoveries[fault] = seconds

    def mount_small_disk(self, folder: Path, size_mib: int) -> None:
        """Puts `folder` onto a small file system until the end. Raises NoMountError."""
        disks.mount(folder, size_mib)
        self._mounted.append(folder)

    def give_large_disk(self, folder: Path) -> None:
        """Puts `folder` back onto the large file system."""
        disks.give_back(folder)
        self._mounted.remove(folder)

    def start_over(self, code: Path) -> None:
        """Begins anew with the job's code in `code`, on servers that hold no message and no row of the stream."""
        self.close_jobs()
        truncate_tables(self.settings)
        for entry in self.settings.paths.stream.glob("checkpoint*/*"):
            delete(entry)
        empty_topics(self.settings)
        self.acknowledged_file.write_bytes(b"")
        self.stream.launch = replace(self.stream.launch, directory=code, environment={"PYTHONPATH": str(code)})
        self.stream.start()
        self.shop.start()
        self.until(lambda: self.read() > 0, "the first micro-batch")

    def drain(self) -> None:
        """Stops the shop, and waits until all that it sent is committed and published."""
        self.shop.stop()
        ends = kafka_offsets.latest(self.settings.kafka, INPUT_TOPICS, WAIT_SECONDS)
        positions = "SELECT topic, kafka_partition, next_offset FROM fraud.stream_offsets"
        unpublished = "SELECT count(*) FROM fraud.stream_batches WHERE published_at IS NULL"

        def drained() -> bool:
            reached = {(topic, partition): offset for topic, partition, offset in self.query(positions)}
            return all(reached.get(place, 0) == end for place, end in ends.items()) and not self.value(unpublished)

        self.until(drained, "all messages committed and published")

    def close_jobs(self) -> None:
        """Stops shop and job; what either had begun stays."""
        self.shop.stop()
        self.stream.stop()

    def close(self) -> None:
        """Stops what was started."""
        self.close_jobs()
        self._forget_the_database()
        for folder in self._mounted:
            disks.unmount(folder)


def empty_topics(settings: Settings) -> None:
    """Deletes all messages, as retention would; offsets go on."""
    ends = kafka_offsets.latest(settings.kafka, Topic, WAIT_SECONDS)
    admin = AdminClient(settings.kafka.client_config())
    answers = admin.delete_records([TopicPartition(*place, end) for place, end in ends.items()])
    for answer in answers.values():
        answer.result(WAIT_SECONDS)


@contextmanager
def arena(rate: float = 150.0, seed: int = 7, code: Path = PROJECT_DIR) -> Iterator[Arena]:
    """An arena with servers of its own; nothing of it runs yet but these."""
    with isolated_servers() as settings:
        with connect(settings, settings.postgres.writer, autocommit=True) as database:
            ensure_pretrained(database, settings.paths.models)
        made = Arena(settings, rate, seed, code)
        try:
            yield made
        finally:
            made.close()
