"""Models come and go while the streaming job runs: a new champion, one that can't be used, a challenger in shadow."""

import itertools
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraudstream.jobs.jobs import jobs
from fraudstream.settings import Settings
from model.serving.artifact import ARTIFACT_FILE, read_metadata
from model.serving.registry import PRETRAINED, ModelVersion, archive, ensure_pretrained, promote, register
from testbed.models import renamed
from tests.streaming import Job, Postgres, Shop, count


@pytest.fixture(scope="module")
def settings(emptied: Settings) -> Settings:
    """The suite's servers, emptied: it looks at the newest row."""
    return emptied


@pytest.fixture(scope="module")
def job(settings: Settings, database: Postgres) -> Iterator[Job]:
    ensure_pretrained(database, settings.paths.models)
    running = Job(settings)
    yield running
    running.end(signal.SIGKILL)


class Till:
    """Buys again and again, and looks at the newest row."""

    def __init__(self, settings: Settings, database: Postgres, job: Job) -> None:
        self._shop = Shop(settings)
        self._database = database
        self._job = job
        self._names = (f"m{number}" for number in itertools.count())

    def newest(self) -> tuple[str, str | None, bool]:
        """Buys once. Of the newest row: its model, its challenger, and whether that one scored it."""
        self._shop.buy(next(self._names))
        self._shop.flush()
        row = self._database.execute(
            "SELECT model_version, challenger_version, challenger_score BETWEEN 0 AND 1 "
            "FROM fraud.scored_transactions ORDER BY ingest_time DESC LIMIT 1"
        ).fetchone()
        return row or ("", None, False)

    def until(self, version: str, challenger: str | None = None) -> None:
        """Buys until these models score."""
        self._job.until(lambda: self.newest()[:2] == (version, challenger), f"{version} and {challenger}")


@pytest.fixture(scope="module")
def till(settings: Settings, database: Postgres, job: Job) -> Till:
    till = Till(settings, database, job)
    till.until(read_metadata(PRETRAINED).version)
    return till


def registered(settings: Settings, database: Postgres, folder: Path, version: str) -> ModelVersion:
    return register(database, renamed(folder, version), settings.paths.models)


def test_a_challenger_scores_in_shadow(settings: Settings, database: Postgres, till: Till, tmp_path: Path) -> None:
    champion = read_metadata(PRETRAINED).version
    registered(settings, database, tmp_path / "a", "shadow-1")
    till.until(champion, "shadow-1")
    assert till.newest() == (champion, "shadow-1", True)
    # It is the champion's twin, so its scores are the same.
    assert not count(database, "SELECT count(*) FROM fraud.scored_transactions WHERE challenger_score <> fraud_score")
    archive(database, "shadow-1")
    till.until(champion)


def test_a_new_champion_scores_from_the_next_micro_batch_on(
    settings: Settings, database: Postgres, till: Till, job: Job, tmp_path: Path
) -> None:
    process = job.process.pid
    promote(database, registered(settings, database, tmp_path / "a", "promoted-1").version)
    till.until("promoted-1")
    assert not count(
        database,
        "SELECT count(*) FROM fraud.stream_batches b, fraud.model_versions v "
        "WHERE v.version = 'promoted-1' AND b.started_at > v.promoted_at AND b.model_version <> v.version",
    )
    assert (job.process.pid, job.process.poll()) == (process, None)


def test_a_champion_that_cannot_be_used_leaves_the_last_good_one_at_work(
    settings: Settings, database: Postgres, till: Till, job: Job, tmp_path: Path
) -> None:
    broken = registered(settings, database, tmp_path / "a", "broken-1")
    (broken.artifact / ARTIFACT_FILE).write_bytes(b"damaged")
    promote(database, "broken-1")

    def problem() -> str:
        till.newest()
        heartbeat = jobs(settings)["stream"].slot.heartbeat
        return heartbeat.problem if heartbeat else ""

    job.until(lambda: "champion broken-1 is not at work" in problem(), "the problem in the heartbeat")
    assert "ERROR spark_jobs.scoring_data: champion broken-1 can't be used" in job.log.read_text()
    assert till.newest()[0] == "promoted-1"
    shutil.copytree(tmp_path / "a", broken.artifact, dirs_exist_ok=True)
    till.until("broken-1")
    job.until(lambda: not problem(), "the heartbeat without a problem")


def test_a_start_with_a_champion_that_cannot_be_used_is_refused(
    settings: Settings, database: Postgres, job: Job, till: Till
) -> None:
    assert job.end(signal.SIGTERM) == 0
    (settings.paths.models / "broken-1" / ARTIFACT_FILE).write_bytes(b"damaged")
    till.newest()
    refused = Job(settings)
    try:
        assert refused.process.wait(120) == 1
    finally:
        refused.end(signal.SIGKILL)
    assert "ERROR score_transactions: model broken-1: SHA-256 of model.skops" in refused.log.read_text()
