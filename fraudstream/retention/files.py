"""Files that grow, or grow in number: logs of jobs, of Airflow's tasks and Dag parsing; replaced checkpoints."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fraudstream.files import delete
from fraudstream.jobs.jobs import jobs
from fraudstream.jobs.slot import LOG_LIMIT_BYTES
from fraudstream.retention.tables import Retired
from fraudstream.settings import Settings


def prune_logs(settings: Settings, *, dry_run: bool) -> Retired:
    """Deletes, or counts, Airflow's log files that nobody wrote to for the days of the settings, and empty folders."""
    folder, before = settings.paths.logs / "airflow", time.time() - settings.retention.airflow_days * 86_400
    retired = Retired("files of Airflow's logs")
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            retired.rows += _prune_file(Path(parent, name), before, dry_run=dry_run)
        if not dry_run and Path(parent) != folder and _is_older(Path(parent), before):
            with suppress(OSError):  # not empty, or another run was faster
                Path(parent).rmdir()
    return retired


def cut_logs(settings: Settings, *, dry_run: bool) -> Retired:
    """Cuts, or counts, logs above 64 MiB of the jobs and of Airflow's tasks, which may run for months.

    What they held becomes the file `….log.1`. Their writers append, and so begin anew; what one writes between copy
    and cut is lost.
    """
    folder, retired = settings.paths.logs / "airflow", Retired("long logs")
    for log in (*(job.log for job in jobs(settings).values()), *folder.rglob("*.log")):
        if log.is_file() and log.stat().st_size > LOG_LIMIT_BYTES:
            retired.rows += 1
            if not dry_run:
                shutil.copyfile(log, log.with_name(f"{log.name}.1"))
                os.truncate(log, 0)
    return retired


def prune_checkpoints(settings: Settings, generation: int, *, dry_run: bool) -> Retired:
    """Deletes, or counts, local checkpoints of generations before `generation`, but the one that it replaced.

    That one is what a person would look at. Those on a shared file system are its administrator's.
    """
    retired = Retired("old checkpoints")
    for folder in list(_replaced(settings.paths.checkpoint, generation))[:-1]:
        retired.rows += 1
        if not dry_run:
            delete(folder)
    return retired


def _replaced(first: Path, generation: int) -> Iterator[Path]:
    """Checkpoints older than `generation`, oldest first."""
    if generation and first.exists():
        yield first
    numbers = (path.name.removeprefix(f"{first.name}-") for path in first.parent.glob(f"{first.name}-*"))
    for number in sorted(int(number) for number in numbers if number.isdecimal()):
        if number < generation:
            yield first.with_name(f"{first.name}-{number}")


def _prune_file(file: Path, before: float, *, dry_run: bool) -> int:
    if not _is_older(file, before):
        return 0
    if not dry_run:
        file.unlink(missing_ok=True)
    return 1


def _is_older(path: Path, before: float) -> bool:
    try:
        return path.lstat().st_mtime < before
    except FileNotFoundError:
        return False
