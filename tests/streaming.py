"""The streaming job as its supervisor would run it, and a shop that sends to it."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
from confluent_kafka import Producer

from fraudstream.jobs.jobs import jobs
from fraudstream.ledger.gaps import KafkaView
from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.settings import PROJECT_DIR, Settings
from spark_jobs import fencing
from spark_jobs.fencing import Driver, Found
from tests.messages import as_bytes, browse_event, transaction
from tests.polling import poll

Postgres = psycopg.Connection[Any]
READY_SECONDS = 180.0
LOG = "test-stream.log"


class Job:
    """The streaming job as its supervisor would run it."""

    def __init__(self, settings: Settings) -> None:
        self.log = settings.paths.logs / LOG
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "spark_jobs.score_transactions", "--master", "local[2,4]"],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=PROJECT_DIR,
                start_new_session=True,
            )

    def end(self, number: signal.Signals) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(60)
        poll(lambda: not is_group_alive(self.process.pid), 60, "the end of the job's JVM, which tidies up its scratch")
        return status

    def until(self, look: Callable[[], Any], what: str) -> Any:
        """Polls `look`, and fails at once when the job has ended."""

        def alive_and() -> Any:
            assert self.process.poll() is None, f"the job ended: {self.log.read_text()[-3000:]}"
            return look()

        return poll(alive_and, READY_SECONDS, what)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The job stands still, so that all that is sent meanwhile waits when it looks."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)

    def sockets(self) -> int:
        """Open sockets of the job's JVM."""
        children = psutil.Process(self.process.pid).children()
        jvm = next(child for child in children if child.name() == "java")
        return sum(str(file.readlink()).startswith("socket:") for file in Path(f"/proc/{jvm.pid}/fd").iterdir())


StartJob = Callable[[], Job]


def is_group_alive(group: int) -> bool:
    """True while any process of the group lives, or is a zombie."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


class Shop:
    """Sends messages and remembers how many."""

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(
            settings.kafka.client_config() | {"enable.idempotence": True, "compression.type": "lz4", "linger.ms": 0}
        )
        self.sent: Counter[str] = Counter()

    def send(self, topic: str, key: bytes | None, value: bytes | None, timestamp: int = 0) -> None:
        """`timestamp` is Kafka's, milliseconds since the epoch, where a topic takes it from the sender; 0: now."""
        try:
            self._producer.produce(topic, value, key, timestamp=timestamp)
        except BufferError:
            self._producer.poll(10)  # until large ones are sent
            self._producer.produce(topic, value, key, timestamp=timestamp)
        self.sent[topic] += 1

    def buy(self, name: str, **fields: Any) -> None:
        """A session with two browse events and, once Kafka has these, a purchase."""
        now = iso_milliseconds(datetime.now(UTC))
        who = {"customer_id": f"c-{name}", "session_id": f"s-{name}", "event_time": now}
        who |= {field: value for field, value in fields.items() if field in who}
        key = who["customer_id"].encode()
        for step in ("view_item", "begin_checkout"):
            event = browse_event(event_id=f"e-{name}-{step}", event_type=step, **who)
            self.send(Topic.BROWSE_EVENTS, key, as_bytes(event))
        self.flush()
        self.send(Topic.TRANSACTIONS, key, as_bytes(transaction(**({"transaction_id": f"tx-{name}"} | who | fields))))

    def flush(self) -> None:
        assert self._producer.flush(60) == 0


def become_driver(writer: Postgres, settings: Settings) -> Driver:
    """Takes the query over in the ledger, as a start of the job does that finds neither checkpoint nor messages."""
    return fencing.become_driver(writer, settings, Found(0, None, "nowhere"), lambda: KafkaView({}, {}, {}))


def refusal(settings: Settings, job: Job) -> str:
    """What a job that refuses to start leaves behind."""
    assert job.process.wait(READY_SECONDS) == os.EX_CONFIG, job.log.read_text()[-3000:]
    heartbeat = jobs(settings)["stream"].slot.heartbeat
    assert heartbeat
    return heartbeat.problem


def read_all(job: Job, shop: Shop, database: Postgres) -> None:
    """Waits until all that the shop sent is accounted for."""
    shop.flush()
    job.until(lambda: accounted(database) == shop.sent.total(), "everything sent")


def buy_one_by_one(number: int, name: str, job: Job, shop: Shop, database: Postgres) -> None:
    """Each purchase waits until the one before is committed, so that it comes with a micro-batch of its own."""
    for index in range(number):
        shop.buy(f"{name}-{index}")
        read_all(job, shop, database)


def scores(database: Postgres) -> dict[str, float]:
    """By transaction id."""
    return dict(database.execute("SELECT transaction_id, fraud_score FROM fraud.scored_transactions").fetchall())


def count(database: Postgres, query: str) -> int:
    found = database.execute(query).fetchone()
    return int(found[0]) if found and found[0] is not None else 0


def accounted(database: Postgres) -> int:
    return count(database, "SELECT sum(next_offset - first_offset) FROM fraud.stream_offsets")
