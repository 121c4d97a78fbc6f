"""The database restored from a backup, or gone altogether: what was scored since comes again from Kafka.

On real Kafka, Postgres and Spark.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from fraudstream.archive import archiving, reading
from fraudstream.files import delete
from fraudstream.local.backup import BackupError, back_up, run_restore
from fraudstream.local.rebuild import run_rebuild
from fraudstream.settings import ENV_PREFIX, Settings
from fraudstream.snapshots.folders import verify
from fraudstream.snapshots.manifest import Moment
from fraudstream.snapshots.writing import write
from fraudstream.storage.connect import connect
from model.serving.registry import ensure_pretrained
from testbed.isolation import start_servers, stop_servers
from tests.streaming import Postgres, Shop, StartJob, count, read_all, refusal, scores

#: Of the micro-batches in which a lost database is made anew: about 8 purchases, with their browsing.
BACKLOG_LIMIT = 25
OLDER = Moment(layout=0, made_by="batch 1", shop_currency="EUR", clock_ms=0)
_BATCHES = """
SELECT b.scored + b.browse_events, min(t.ingest_time), max(t.ingest_time)
FROM fraud.stream_batches b JOIN fraud.scored_transactions t USING (batch_id) GROUP BY b.batch_id, 1 ORDER BY b.batch_id
"""


@pytest.fixture(scope="module")
def settings(emptied: Settings) -> Settings:
    """The suite's servers, emptied: it stops them, and deletes their database."""
    return emptied


@pytest.fixture(scope="module")
def shop(settings: Settings) -> Shop:
    return Shop(settings)


@contextmanager
def as_writer(settings: Settings) -> Iterator[Postgres]:
    with connect(settings, settings.postgres.writer, autocommit=True) as connection:
        ensure_pretrained(connection, settings.paths.models)
        yield connection


def said(settings: Settings) -> list[str]:
    """What a rebuild, which is carried out, says of itself."""
    lines: list[str] = []
    run_rebuild(settings, yes=True, accept_loss=False, tell=lines.append)
    return lines


def test_a_restored_backup_gets_from_kafka_what_came_after_it(
    start_job: StartJob, settings: Settings, shop: Shop, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    with as_writer(settings) as database:
        job = start_job()
        shop.buy("before")
        read_all(job, shop, database)
        archiving.archive(settings)
        snapshot = write(settings.paths.snapshots, "of-an-older-release", [], OLDER)
        back_up(settings, folder, lambda _: None)
        delete(snapshot.folder)
        shop.buy("after", customer_id="c-before")
        for number in range(80):
            shop.buy(f"after{number}", customer_id=f"c-{number % 10}")
        read_all(job, shop, database)
        whole = scores(database)
    assert job.end(signal.SIGTERM) == 0
    archiving.archive(settings)
    with pytest.raises(BackupError, match="exists: name a new folder"):
        back_up(settings, folder, lambda _: None)
    with pytest.raises(BackupError, match=r"\./fraudctl down first"):
        run_restore(settings, folder, lambda _: None)

    stop_servers(settings)
    with pytest.raises(BackupError, match=r"is not a backup: it has no fraud\.dump"):
        run_restore(settings, tmp_path, lambda _: None)
    run_restore(settings, folder, lambda _: None)
    start_servers(settings)
    with as_writer(settings) as database:
        assert scores(database).keys() == {"tx-before"}
        problem = refusal(settings, start_job())
        assert "one of them was restored from another time" in problem
        assert "./fraudctl rebuild" in problem
        assert verify(snapshot.folder) == snapshot.manifest
        skipped, reread, *_ = said(settings)
        assert skipped.startswith("The snapshot of-an-older-release has profiles of layout 0")
        assert reread.startswith("3 messages in Kafka are read again for the customers' profiles")
        job = start_job()
        read_all(job, shop, database)
        assert scores(database) == whole, "to the bit, since profiles are what they were"
        assert count(database, "SELECT sum(duplicates) FROM fraud.stream_offsets") == 0
    assert job.end(signal.SIGTERM) == 0
    assert archiving.archive(settings).found == []
    archived = reading.existing(settings).to_pyarrow_table(columns=["transaction_id"])["transaction_id"].to_pylist()
    assert sorted(archived) == sorted(whole), "each once, though Kafka had most of them twice"


def test_a_lost_database_comes_back_from_kafka_alone(
    start_job: StartJob, settings: Settings, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was, though it comes in other micro-batches: small ones, each with what came to Kafka first."""
    with as_writer(settings) as database:
        whole = scores(database)
    with connect(settings, settings.postgres.admin, "postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {settings.postgres.database}".encode())
    start_servers(settings)
    with as_writer(settings) as database:
        assert "the ledger in Postgres at -1" in refusal(settings, start_job())
        empty = f"The ledger is empty: all {shop.sent.total()} messages that Kafka holds are scored."
        assert said(settings)[1] == empty
        monkeypatch.setenv(f"{ENV_PREFIX}STREAM__MAX_OFFSETS_PER_TRIGGER", str(BACKLOG_LIMIT))
        job = start_job()
        read_all(job, shop, database)
        assert scores(database) == whole
        batches = database.execute(_BATCHES).fetchall()
        assert len(batches) >= shop.sent.total() / BACKLOG_LIMIT
        assert max(size for size, _, _ in batches) <= BACKLOG_LIMIT
        assert all(newest <= oldest for (_, _, newest), (_, oldest, _) in pairwise(batches))
        job.end(signal.SIGKILL)
