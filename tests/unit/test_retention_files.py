"""Retention of files: old logs and replaced checkpoints go, and a log that somebody writes to is cut."""

import os
import time
from pathlib import Path

import pytest

from fraudstream.retention import files
from fraudstream.settings import Settings
from fraudstream.settings.retention import RetentionSettings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(var_dir=tmp_path, retention=RetentionSettings(airflow_days=2))


def written(file: Path, *, days_ago: float = 0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("a line\n")
    for path in (file, file.parent):
        os.utime(path, times=(time.time() - days_ago * 86_400,) * 2)
    return file


def test_old_logs_go_with_their_folders(settings: Settings) -> None:
    tasks = settings.paths.logs / "airflow"
    old, new = written(tasks / "run-1" / "1.log", days_ago=3), written(tasks / "run-2" / "1.log", days_ago=1)
    ours = written(settings.paths.logs / "kafka.log", days_ago=9)
    assert files.prune_logs(settings, dry_run=True).rows == 1
    assert old.exists()
    assert files.prune_logs(settings, dry_run=False).rows == 1
    assert not old.exists()
    assert new.exists()
    assert ours.exists(), "supervisord's to rotate"
    assert old.parent.exists(), "somebody may just have made it"
    os.utime(old.parent, times=(0, 0))
    files.prune_logs(settings, dry_run=False)
    assert [path.name for path in tasks.iterdir()] == ["run-2"]


@pytest.mark.parametrize("name", ["stream.log", "airflow/dag/run/attempt=1.log.trigger.7.log"])
def test_a_long_log_is_cut_while_it_is_written(settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOG_LIMIT_BYTES", 10)
    log = written(settings.paths.logs / name)
    with log.open("ab", buffering=0) as writer:
        assert files.cut_logs(settings, dry_run=False).rows == 0, "it isn't long yet"
        writer.write(b"another line\n")
        assert files.cut_logs(settings, dry_run=True).rows == 1
        assert files.cut_logs(settings, dry_run=False).rows == 1
        writer.write(b"the next\n")
    assert log.read_text() == "the next\n"
    assert log.with_name(f"{log.name}.1").read_text() == "a line\nanother line\n"


def test_checkpoints_before_the_replaced_one_go(settings: Settings) -> None:
    first = settings.paths.checkpoint
    folders = [first, *(first.with_name(f"{first.name}-{number}") for number in (1, 2, 10))]
    for folder in folders:
        written(folder / "offsets" / "0")
    assert files.prune_checkpoints(settings, 10, dry_run=True).rows == 2
    assert files.prune_checkpoints(settings, 10, dry_run=False).rows == 2
    assert [folder.exists() for folder in folders] == [False, False, True, True]
    assert files.prune_checkpoints(settings, 10, dry_run=False).rows == 0
    assert files.prune_checkpoints(settings, 0, dry_run=False).rows == 0
