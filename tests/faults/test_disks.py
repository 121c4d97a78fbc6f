"""A full disk under Postgres, and one under the checkpoint: nothing is half written, and space is all it needs."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults import disks
from tests.faults.arena import Arena
from tests.faults.invariants import assert_all_hold

NO_SPACE = "No space left on device"


@pytest.fixture
def postgres_disk(_arena: Arena) -> Iterator[None]:
    """Postgres' data on a small disk; the server is away while they move."""
    folder, server = _arena.settings.paths.postgres, _arena.supervisor
    with away(lambda: server.stop("postgres"), lambda: server.start("postgres")):
        mount(_arena, folder, 1024)
    yield
    with away(lambda: server.stop("postgres"), lambda: server.start("postgres")):
        _arena.give_large_disk(folder)


@pytest.fixture
def checkpoint_disk(_arena: Arena) -> Iterator[None]:
    """The checkpoint on a small disk; the job is away while they move."""
    folder, job = _arena.checkpoint(), _arena.stream
    with away(job.stop, job.start):
        mount(_arena, folder, 256)
    yield
    with away(job.stop, job.start):
        _arena.give_large_disk(folder)


@contextmanager
def away(stop: Callable[[], None], start: Callable[[], None]) -> Iterator[None]:
    stop()
    try:
        yield
    finally:
        start()


def mount(arena: Arena, folder: Path, size_mib: int) -> None:
    try:
        arena.mount_small_disk(folder, size_mib)
    except disks.NoMountError as error:
        pytest.skip(f"a small file system can't be mounted: {error}")


@pytest.mark.usefixtures("postgres_disk")
def test_a_full_disk_under_postgres_is_waited_for(stage: Arena) -> None:
    stage.recover(time.time())
    log = stage.settings.paths.logs / "postgres.log"
    with disks.full(stage.settings.paths.postgres):
        stage.until(lambda: NO_SPACE in log.read_text(errors="replace"), "Postgres to meet its full disk")
    stage.record("Postgres' disk full, after there is space", stage.recover(time.time()))
    assert_all_hold(stage.settings, stage.acknowledged())


@pytest.mark.long
@pytest.mark.usefixtures("checkpoint_disk")
def test_a_full_disk_under_the_checkpoint_ends_the_job_until_there_is_space(stage: Arena) -> None:
    stage.recover(time.time())
    ended = len(stage.stream.endings)
    with disks.full(stage.checkpoint()):
        stage.until(lambda: len(stage.stream.endings) > ended, "the job's end on a full disk")
        assert stage.stream.endings[ended].how != "exit status 0"
    stage.record("checkpoint's disk full, after there is space", stage.recover(time.time()))
    assert_all_hold(stage.settings, stage.acknowledged())
