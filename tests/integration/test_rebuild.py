"""The streaming job without what it goes on from: it refuses, and after a rebuild it goes on as if nothing had been.

On real Kafka, Postgres and Spark.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from fraudstream.files import write_atomically
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.ledger.rebuild import RebuildError
from fraudstream.ledger.reconciliation import reconcile
from fraudstream.local.rebuild import run_rebuild
from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.settings import PROJECT_DIR, Settings
from fraudstream.snapshots.folders import Snapshot, newest_first
from fraudstream.snapshots.manifest import MANIFEST, Place, dump
from model.serving.registry import ensure_pretrained
from spark_jobs.checkpoint import location
from tests.emptying import make_topics_anew
from tests.messages import as_bytes, label
from tests.streaming import READY_SECONDS, Job, Postgres, Shop, StartJob, count, read_all, refusal, scores

#: Of all purchases that are compared, so that their features may be equal.
FIRST = datetime.now(UTC) - timedelta(minutes=3)
SECOND = FIRST + timedelta(minutes=2)
THIRD = FIRST + timedelta(minutes=3)


@pytest.fixture(scope="module")
def settings(emptied: Settings) -> Settings:
    """The suite's servers, emptied: it counts every message, and breaks things."""
    return emptied


@pytest.fixture(scope="module")
def shop(settings: Settings, database: Postgres) -> Shop:
    ensure_pretrained(database, settings.paths.models)
    return Shop(settings)


@pytest.fixture(scope="module")
def started(settings: Settings) -> Iterator[list[Job]]:
    """The jobs that the tests started, the newest last."""
    jobs: list[Job] = []
    yield jobs
    for job in jobs:
        job.end(signal.SIGKILL)


@pytest.fixture
def start_job(settings: Settings, started: list[Job]) -> StartJob:
    """Starts a job; who starts it ends it, or leaves it to the next test."""

    def start() -> Job:
        started.append(Job(settings))
        return started[-1]

    return start


def buy(shop: Shop, name: str, customer: str, at: datetime) -> None:
    shop.buy(name, customer_id=customer, event_time=iso_milliseconds(at))


def batches(folder: Path) -> set[str]:
    """The micro-batches that a folder of the checkpoint names."""
    return {file.name for file in folder.glob("[0-9]*")}


def test_a_lost_checkpoint_is_refused_and_rebuilt(
    start_job: StartJob, settings: Settings, shop: Shop, database: Postgres
) -> None:
    job = start_job()
    for name in ("whole", "cut"):
        buy(shop, f"{name}-1", name, FIRST)
    buy(shop, "whole-2", "whole", SECOND)
    send_label(shop)
    read_all(job, shop, database)
    assert job.end(signal.SIGTERM) == 0

    shutil.rmtree(settings.paths.checkpoint)
    problem = refusal(settings, start_job())
    assert "there is no checkpoint" in problem
    assert "./fraudctl rebuild" in problem

    said: list[str] = []
    with pytest.raises(RebuildError, match="--yes"):
        run_rebuild(settings, yes=False, accept_loss=False, tell=said.append)
    (line,) = said
    assert line.startswith(f"{shop.sent.total()} messages in Kafka are read again")
    run_rebuild(settings, yes=True, accept_loss=False, tell=said.append)
    job = start_job()
    buy(shop, "cut-2", "cut", SECOND)
    buy(shop, "new-2", "new", SECOND)
    read_all(job, shop, database)
    found = scores(database)
    assert len(found) == 5
    assert found["tx-cut-2"] == found["tx-whole-2"], "the profile is what it was"
    assert found["tx-cut-2"] != found["tx-new-2"], "and it matters"
    assert count(database, "SELECT sum(duplicates) FROM fraud.stream_offsets") == 0


def test_a_snapshot_stands_in_for_what_kafka_forgot(
    start_job: StartJob, started: list[Job], settings: Settings, shop: Shop, database: Postgres
) -> None:
    """To the bit: twins who do the same are scored the same, one before the checkpoint was lost, one after it."""
    job = started[-1]  # of the test before: a start takes longer than the rest
    for twin in ("twin-a", "twin-b"):
        buy(shop, f"{twin}-1", twin, FIRST)
    read_all(job, shop, database)
    job.until(lambda: is_level(settings, database), "Spark's note of the end")
    made = snapshot(settings)
    assert made.manifest.moment.reached == positions(database)
    assert made.manifest.customers == count(
        database, "SELECT count(DISTINCT customer_id) FROM fraud.scored_transactions"
    )
    for twin in ("twin-a", "twin-b"):
        buy(shop, f"{twin}-2", twin, SECOND)
    buy(shop, "twin-a-3", "twin-a", THIRD)
    read_all(job, shop, database)
    job.end(signal.SIGKILL)

    shutil.rmtree(checkpoint_of(settings, database))
    expire(settings, made.manifest.moment.reached)
    damaged_copy(made, "newer")
    said: list[str] = []
    with pytest.raises(RebuildError, match="--yes"):
        run_rebuild(settings, yes=False, accept_loss=False, from_kafka=True, tell=said.append)
    assert "older ones have expired" in said[-1]
    said.clear()
    run_rebuild(settings, yes=True, accept_loss=False, tell=said.append)
    assert said[0].startswith("The snapshot newer can't be used: ")
    assert said[1].startswith(f"Profiles begin with the snapshot {made.name}: ")
    assert said[2] == "9 messages in Kafka since then are read again for the customers' profiles, and not scored again."
    assert len(said) == 4, "nothing is said to be missing"

    job = start_job()
    buy(shop, "twin-b-3", "twin-b", THIRD)
    read_all(job, shop, database)
    checkpoint = checkpoint_of(settings, database)
    job.until(lambda: not (checkpoint / "beginning").exists(), "the query without its snapshot")
    buy(shop, "new-3", "new-too", THIRD)
    read_all(job, shop, database)
    found = scores(database)
    assert found["tx-twin-b-3"] == found["tx-twin-a-3"], "the profile is what it was"
    assert found["tx-twin-b-3"] != found["tx-new-3"], "and it matters"
    assert count(database, "SELECT sum(duplicates) FROM fraud.stream_offsets") == 0
    # The next test damages this state: a batch that Spark didn't note as ended would be repeated.
    job.until(lambda: is_level(settings, database), "Spark's note of the end")
    job.end(signal.SIGKILL)


def checkpoint_of(settings: Settings, database: Postgres) -> Path:
    return Path(location(settings.checkpoint, count(database, "SELECT generation FROM fraud.stream_queries")))


def is_level(settings: Settings, database: Postgres) -> bool:
    """Whether Spark has noted the end of each micro-batch that it planned."""
    checkpoint = checkpoint_of(settings, database)
    return batches(checkpoint / "commits") == batches(checkpoint / "offsets")


def positions(database: Postgres) -> dict[Place, int]:
    rows = database.execute("SELECT topic, kafka_partition, next_offset FROM fraud.stream_offsets").fetchall()
    return {(topic, partition): offset for topic, partition, offset in rows}


def snapshot(settings: Settings) -> Snapshot:
    """What the Dag `snapshot_profiles` runs."""
    command = [sys.executable, "-m", "spark_jobs.snapshot_profiles"]
    done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, timeout=READY_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = newest_first(settings.paths.snapshots)
    return made


def damaged_copy(made: Snapshot, name: str) -> None:
    """A newer snapshot, of which a bit has changed."""
    folder = made.folder.with_name(name)
    shutil.copytree(made.folder, folder)
    later = msgspec.structs.replace(made.manifest, made_at=made.manifest.made_at + timedelta(hours=1))
    write_atomically(folder / MANIFEST, dump(later))
    file = folder / later.parts[0].name
    file.write_bytes(file.read_bytes()[:-1] + b"?")


def test_a_damaged_checkpoint_is_rebuilt_without_a_person(
    start_job: StartJob, settings: Settings, shop: Shop, database: Postgres
) -> None:
    before = count(database, "SELECT generation FROM fraud.stream_queries")
    known = len(scores(database))
    for file in settings.paths.stream.glob(f"checkpoint-{before}/state/0/[0-9]*/[0-9]*.*"):  # changes and snapshots
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    shop.buy("after-damage")
    shop.flush()
    job = start_job()
    assert job.process.wait(READY_SECONDS) == 1
    assert "the checkpoint may be damaged" in job.log.read_text()
    assert count(database, "SELECT generation FROM fraud.stream_queries") == before, "nobody has read it again yet"
    job = start_job()
    assert job.process.wait(READY_SECONDS) == 1
    assert "the checkpoint is damaged" in job.log.read_text()
    assert "from the snapshot" in job.log.read_text(), "Kafka alone doesn't hold all"
    job = start_job()
    read_all(job, shop, database)
    assert len(scores(database)) == known + 1
    assert count(database, "SELECT generation FROM fraud.stream_queries") > before
    job.end(signal.SIGKILL)


def test_what_kafka_lost_is_refused_until_somebody_accepts_it(
    start_job: StartJob, settings: Settings, shop: Shop, database: Postgres
) -> None:
    run_id, known = count(database, "SELECT max(batch_id) FROM fraud.stream_batches"), len(scores(database))
    for _ in range(3):
        buy(shop, "unread", "unread", SECOND)  # three times the same purchase, of which the browse events expire
    shop.flush()
    expire(settings, kafka_offsets.latest(settings.kafka, [Topic.BROWSE_EVENTS], 10))
    make_topics_anew(settings, Topic.TRANSACTION_LABELS)
    problem = refusal(settings, start_job())
    assert "expired before they were read" in problem
    assert "transaction-labels/" in problem
    assert "the topic was made anew" in problem
    assert "./fraudctl rebuild" in problem

    said: list[str] = []
    with pytest.raises(RebuildError, match="--accept-loss"):
        run_rebuild(settings, yes=True, accept_loss=False, tell=said.append)
    assert "messages after it have expired" in said[-1]
    run_rebuild(settings, yes=True, accept_loss=True, tell=lambda _: None)
    assert count(database, "SELECT sum(lost) FROM fraud.stream_offsets") == 6
    assert count(database, "SELECT sum(until_offset - from_offset) FROM fraud.stream_lost_ranges") == 6

    job = start_job()
    send_label(shop)
    read_all(job, shop, database)
    assert len(scores(database)) == known + 1
    assert count(database, "SELECT sum(duplicates) FROM fraud.stream_offsets") == 2
    labels = database.execute("SELECT topic FROM fraud.transaction_labels WHERE batch_id <= %s", (run_id,)).fetchall()
    assert [str(topic).split("@")[0] for (topic,) in labels] == ["transaction-labels"]
    assert count(database, "SELECT count(*) FROM fraud.transaction_labels WHERE topic = 'transaction-labels'") == 1
    assert reconcile(settings, whole=True).differences == []
    assert job.end(signal.SIGTERM) == 0


def send_label(shop: Shop) -> None:
    shop.send(Topic.TRANSACTION_LABELS, b"tx-whole-1", as_bytes(label(transaction_id="tx-whole-1")))


def expire(settings: Settings, until: dict[Place, int]) -> None:
    """Lets Kafka forget all that lies before these offsets, as after its retention."""
    admin = AdminClient(settings.kafka.client_config())
    for deleted in admin.delete_records([TopicPartition(*place, end) for place, end in until.items()]).values():
        deleted.result(30)
