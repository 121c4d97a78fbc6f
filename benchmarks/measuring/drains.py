"""A backlog drained by our job or by peers: when what was done, at which cost, and the rows that came out."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.cluster import cpu_seconds
from benchmarks.measuring.marks import Mark, between, together
from benchmarks.measuring.order import Browsing, Scored, Stands
from benchmarks.measuring.samples import memory_of
from benchmarks.measuring.stream import BenchmarkError, Program, Stream, with_children
from fraudstream.ledger.figures import MESSAGES
from fraudstream.messages.contracts import Topic
from fraudstream.storage.connect import Postgres, connect
from testbed.isolation import KEPT_TABLES, truncate_tables

SAMPLE_SECONDS = 1.0
DRAIN_SECONDS = 3600.0
#: A peer's parallelism is its processes', as the job's is Spark's.
PEERS_VARIABLES = {"OMP_NUM_THREADS": "1"}
STATIC_TABLES = (*KEPT_TABLES, "currency_rates")

LEDGER = f"""
    SELECT extract(epoch FROM min(started_at) OVER ())::float8, extract(epoch FROM committed_at)::float8,
        (sum({MESSAGES}) OVER (ORDER BY batch_id))::bigint
    FROM fraud.stream_batches ORDER BY batch_id
"""  # noqa: S608 (constants)
ROWS = """
    SELECT transaction_id, customer_id, kafka_partition, (extract(epoch FROM ingest_time) * 1000)::bigint, batch_id,
        fraud_score, is_fraud
    FROM fraud.scored_transactions
"""


@dataclass
class Drain:
    """A drained backlog; `memory` is the most that the consumer's processes took together, bytes."""

    marks: Sequence[Mark]
    memory: int
    rows: Mapping[str, Scored]  # by transaction_id
    stands: Mapping[tuple[int, int], Stands] = field(default_factory=dict)  # of peers: by (batch, partition)


def drain_by_job(stream: Stream, database: Postgres) -> Drain:
    """Lets our job drain what waits; it has begun nothing yet. Raises BenchmarkError."""
    job = stream.start_job()
    watch = _Watch([job])
    watch.until(lambda: not stream.lag(database), job.check)
    job.stop()
    ledger = database.execute(LEDGER).fetchall()
    begun = ledger[0][0]
    marks = [Mark(begun, 0, between(watch.cpu, begun))]
    marks += [Mark(at, messages, between(watch.cpu, at)) for _, at, messages in ledger]
    return Drain(marks, watch.memory, _rows(database))


def empty(stream: Stream) -> None:
    """Empties the tables, and has Postgres write what the one before left to its disk."""
    truncate_tables(stream.settings, STATIC_TABLES)
    with connect(stream.settings, stream.settings.postgres.admin, name="bench", autocommit=True) as admin:
        admin.execute("CHECKPOINT")


def drain_by_peers(database: Postgres, programs: Sequence[Program]) -> Drain:
    """Waits for peers, each with its share of the partitions. Raises BenchmarkError when one fails."""
    watch = _Watch(programs)

    def check() -> None:
        for program in programs:
            if program.process.poll():
                program.check()

    watch.until(lambda: all(program.process.poll() == 0 for program in programs), check)
    reports = [list(_reports(program.log)) for program in programs]
    marks = together([Mark(each["at"], each["messages"], each["cpu"]) for each in of_one] for of_one in reports)
    stands = {place: stand for of_one in reports for place, stand in _stands(of_one)}
    return Drain(marks, watch.memory, _rows(database), stands)


def browsing_by_customer(stream: Stream) -> dict[str, list[Browsing]]:
    """All browse events in Kafka. Raises BenchmarkError when it stops answering."""
    ends = {partition: end for (topic, partition), end in stream.ends().items() if topic == Topic.BROWSE_EVENTS}
    config = stream.settings.kafka.client_config() | {"group.id": "bench-peers", "enable.auto.commit": False}
    consumer = Consumer(config)
    consumer.assign([TopicPartition(Topic.BROWSE_EVENTS, partition, 0) for partition in ends])
    found: dict[str, list[Browsing]] = defaultdict(list)
    left = sum(ends.values())
    while left:
        messages = consumer.consume(10_000, timeout=30)
        if not messages:
            raise BenchmarkError(f"Kafka stopped answering, {left} browse events before the end")
        for message in messages:
            customer, offset = (message.key() or b"").decode(errors="replace"), message.offset()
            assert offset is not None  # noqa: S101 - a message has one
            found[customer].append(Browsing(message.timestamp()[1], offset))
        left -= len(messages)
    consumer.close()
    return found


class _Watch:
    """CPU-seconds over time and the most memory of programs with all that they start."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = programs
        self.cpu: list[tuple[float, float]] = []
        self.memory = 0

    def until(self, is_done: Callable[[], bool], check: Callable[[], None]) -> None:
        """Looks each SAMPLE_SECONDS, and calls `check`. Raises what that raises, and BenchmarkError after an hour."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while True:
            done = is_done()
            self._look()
            if done:
                return
            check()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self._programs[0].log.stem}: not done after {DRAIN_SECONDS:.0f} s")
            time.sleep(SAMPLE_SECONDS)

    def _look(self) -> None:
        pids = [program.process.pid for program in self._programs]
        self.cpu.append((time.time(), cpu_seconds(pids)))
        memory = memory_of([process for pid in pids for process in with_children(pid)])
        self.memory = max(self.memory, memory.pss)


def _rows(database: Postgres) -> dict[str, Scored]:
    return {row[0]: Scored(*row) for row in database.execute(ROWS).fetchall()}


def _reports(log: Path) -> Iterator[dict[str, Any]]:
    """What a peer reported (`peers.scoring.report`), among the other lines of its log."""
    for line in log.read_text().splitlines():
        if line.startswith('{"at"'):
            yield json.loads(line)


def _stands(reports: Sequence[Mapping[str, Any]]) -> Iterator[tuple[tuple[int, int], Stands]]:
    """Where each batch began and ended in the partitions of the browsing topic."""
    before: dict[str, int] = {}
    for report in reports:
        after = {**before, **report["browsing"]}
        for partition, offset in after.items():
            yield (report["batch"], int(partition)), Stands(before.get(partition, 0), offset)
        before = after
