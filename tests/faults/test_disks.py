"""A full disk under Postgres, and one under the checkpoint: nothing is half written, and space is all it needs."""

import time

import pytest

from tests.faults import disks
from tests.faults.arena import Arena
from tests.faults.invariants import assert_all_hold

NO_SPACE = "No space left on device"


@pytest.fixture(scope="module")
def postgres_disk(_arena: Arena) -> None:
    """Postgres' data on a small disk; the server is away meanwhile."""
    _arena.supervisor.stop("postgres")
    try:
        _arena.mount_small_disk(_arena.settings.paths.postgres, 1024)
    except disks.NoMountError as error:
        pytest.skip(f"a small file system can't be mounted: {error}")
    finally:
        _arena.supervisor.start("postgres")


@pytest.fixture(scope="module")
def checkpoint_disk(_arena: Arena) -> None:
    """The checkpoint on a small disk; the job is away meanwhile."""
    folder = _arena.checkpoint()
    _arena.stream.stop()
    try:
        _arena.mount_small_disk(folder, 256)
    except disks.NoMountError as error:
        pytest.skip(f"a small file system can't be mounted: {error}")
    finally:
        _arena.stream.start()


@pytest.mark.usefixtures("postgres_disk")
def test_a_full_disk_under_postgres_is_waited_for(stage: Arena) -> None:
    stage.recover(time.time())
    log = stage.settings.paths.logs / "postgres.log"
    with disks.full(stage.settings.paths.postgres):
        stage.until(lambda: NO_SPACE in log.read_text(errors="replace"), "Postgres to meet its full disk")
    stage.record("Postgres' disk full, after there is space", stage.recover(time.time()))
    assert_all_hold(stage.settings, stage.acknowledged())


@pytest.mark.usefixtures("checkpoint_disk")
def test_a_full_disk_under_the_checkpoint_ends_the_job_until_there_is_space(stage: Arena) -> None:
    stage.recover(time.time())
    ended = len(stage.stream.endings)
    with disks.full(stage.checkpoint()):
        stage.until(lambda: len(stage.stream.endings) > ended, "the job's end on a full disk")
        assert stage.stream.endings[ended].how != "exit status 0"
    stage.record("checkpoint's disk full, after there is space", stage.recover(time.time()))
    assert_all_hold(stage.settings, stage.acknowledged())
