"""The same backlog on local[2] and on two one-core workers of a Spark cluster, by turns.

    ./fraudctl bench cluster
    ./fraudctl bench cluster -- --events 100000 --rounds 1

The simulated shop sends once. Then each round drains what it sent on `local[2]` and on a standalone cluster of this
machine's own processes (loopback, with a secret), each time from Kafka's first message, into emptied tables, with a new
checkpoint on the same disk. Kafka and Postgres lie in a folder and on ports of their own. Ends with 1 when a message
is lost, repeated or not accounted for.
"""

import argparse
import statistics
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.measuring.accounting import differences
from benchmarks.measuring.stream import BenchmarkError, Stream, fresh_stream
from fraudstream.ledger.figures import MESSAGES
from fraudstream.settings import ENV_PREFIX
from fraudstream.storage.connect import Postgres
from testbed.isolation import truncate_tables
from testbed.spark_cluster import cluster_settings, standalone_cluster

POLL_SECONDS = 0.5
DRAIN_SECONDS = 3600.0
CHECKPOINT = ENV_PREFIX + "STREAM__CHECKPOINT"

LEDGER = f"""
    SELECT count(*), sum({MESSAGES}),
        extract(epoch FROM max(committed_at) - min(started_at))::float8,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms)
    FROM fraud.stream_batches
"""  # noqa: S608 (constants)


@dataclass(frozen=True)
class Place:
    """A place where the job runs its tasks, and the settings that it needs for that."""

    name: str
    master: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Drained:
    """A backlog that was drained: what the ledger says, and the CPU time of driver and executors with their starts."""

    messages: int
    seconds: float
    batches: int
    median_batch_ms: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Messages a second, from the first batch's start to the last one's commit."""
        return self.messages / self.seconds

    def __str__(self) -> str:
        return (
            f"{self.rate:.0f} messages/s, {self.messages / self.cpu_seconds:.0f} a CPU-s; {self.messages} messages in "
            f"{self.batches} batches, {self.median_batch_ms / 1000:.2f} s in the median"
        )


def main() -> None:
    """Sends, drains by turns, and prints each turn and the medians."""
    arguments = _arguments()
    rates: dict[str, list[float]] = {}
    with fresh_stream() as stream, stream.connect() as database:
        stream.send_backlog(arguments.events)
        print(f"{stream.lag(database)} messages wait", flush=True)
        folder = stream.settings.paths.var / "cluster"
        with standalone_cluster(stream.settings, folder) as cluster:
            local = Place("local[2]", "local[2,4]", {})
            two_workers = Place("two one-core workers", cluster.url, cluster_settings(folder))
            for turn in range(2 * arguments.rounds):
                place = (local, two_workers)[turn % 2]
                workers = [worker.process.pid for worker in cluster.workers]
                drained = _drain(stream, database, place, folder / f"checkpoint-of-turn-{turn}", workers)
                print(f"{place.name}: {drained}", flush=True)
                rates.setdefault(place.name, []).append(drained.rate)
    for name, found in rates.items():
        print(f"median of {name}: {statistics.median(found):.0f} messages/s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500_000, help="browse events and transactions (500000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each of the two drains them (3)")
    return parser.parse_args()


def _drain(stream: Stream, database: Postgres, place: Place, checkpoint: Path, workers: Iterable[int]) -> Drained:
    """Drains what Kafka holds, from its first message. Raises SystemExit when the books don't balance."""
    truncate_tables(stream.settings)
    idle = cpu_seconds(workers)
    job = stream.start_job(place.master, {**place.environment, CHECKPOINT: str(checkpoint)})
    deadline = time.monotonic() + DRAIN_SECONDS
    while stream.lag(database):
        job.check()
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{place.name}: {stream.lag(database)} messages wait after {DRAIN_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
    used = cpu_seconds([job.process.pid, *workers]) - idle
    job.stop()
    if found := list(differences(stream, database)):
        raise SystemExit(f"{place.name}: accounting: {'; '.join(found)}")
    return _told(database, used)


def _told(database: Postgres, cpu: float) -> Drained:
    row = database.execute(LEDGER).fetchone()
    if row is None or not row[0]:
        raise BenchmarkError("the ledger is empty")
    batches, messages, seconds, median_ms = row
    return Drained(int(messages), seconds, batches, median_ms, cpu)


def cpu_seconds(roots: Iterable[int]) -> float:
    """CPU time of processes and all that they started, also of what has ended since."""
    total = 0.0
    for root in roots:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(root)
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += sum(each.cpu_times()[:4])  # own and ended children's, each as user and system
    return total


if __name__ == "__main__":
    main()
