"""The export itself: all datasets as they are at one moment, in files that a killed run left and a later one keeps.

Postgres is seen at one moment, in one transaction that only reads. What is in each day is fingerprinted there first; a
file that holds just that is kept, all others are written. So an export that was interrupted goes on, a repeat writes
what changed since, and both end with the folder as it is now.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pyarrow as pa

from fraudstream.export import manifest as manifests
from fraudstream.export.books import books
from fraudstream.export.datasets import DATASETS, Dataset
from fraudstream.export.manifest import Exported, ExportError, File, Manifest
from fraudstream.export.reading import Day, Period, Postgres, batches, days
from fraudstream.export.writing import DRAFT, DayFile, day_file, is_written, path_of
from fraudstream.failpoints import Failpoint, reach
from fraudstream.files import private_folder
from fraudstream.settings import Settings
from fraudstream.snapshots.folders import sha256_of
from fraudstream.storage.connect import session

#: A million rows are sorted meanwhile; a reader's own limit is for dashboards.
_BEGINS_WITH = {"statement_timeout": "1h", "TimeZone": "UTC"}
# Another one after a restore, or a reset: what was exported before isn't this one's.
_PLATFORM = """
SELECT system_identifier::text || '-' || (SELECT oid FROM pg_database WHERE datname = current_database()) || '-'
    || to_regnamespace('fraud')::oid
FROM pg_control_system()
"""
#: Told now and then: the dataset, its rows that are done, and all of them.
Progress = Callable[[str, int, int], None]


@dataclass
class Outcome:
    """What an export did: files written, kept as they were, and deleted, since nothing of their day is left."""

    manifest: Manifest
    written: int = 0
    kept: int = 0
    deleted: int = 0

    @property
    def told(self) -> str:
        """In a few lines, for people."""
        rows = ", ".join(f"{each.rows:,} {name}" for name, each in self.manifest.datasets.items() if each.rows)
        lines = [
            f"exported: {rows or 'nothing, the platform is empty'}",
            f"files: {self.written:,} written, {self.kept:,} kept as they were, {self.deleted:,} deleted",
        ]
        lines += [book.told for book in self.manifest.books if book.difference]
        return "\n".join(lines)


def export(settings: Settings, folder: Path, period: Period, progress: Progress = lambda *_: None) -> Outcome:
    """Exports all datasets into `folder`. Raises ExportError, and PostgresUnavailableError."""
    reader = settings.postgres.reader
    with session(settings, reader, name="history export", begins_with=_BEGINS_WITH) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        try:
            return _export(settings, connection, folder, period, progress)
        except pa.ArrowException as error:
            raise ExportError(f"a value can't be exported: {' '.join(str(error).split())}") from error
        except OSError as error:
            raise ExportError(
                f"{folder} can't be written ({error}): what is there stays, and the same command goes on from it"
            ) from error


def _export(settings: Settings, connection: Postgres, folder: Path, period: Period, progress: Progress) -> Outcome:
    ((platform,),) = connection.execute(_PLATFORM).fetchall()
    manifest = Manifest(platform=platform, shop_currency=settings.shop.currency, since=period.since, until=period.until)
    outcome = Outcome(manifest)
    with _alone(folder):
        manifests.claim(folder, manifest)
        for dataset in DATASETS:
            manifest.datasets[dataset.name] = _dataset(connection, dataset, folder, outcome, progress)
        if period == Period():
            manifest.books = books(connection, manifest.datasets)
        manifest.complete, manifest.made_at = True, datetime.now(UTC)
        reach(Failpoint.BEFORE_EXPORT_MANIFEST)
        manifests.write(folder, manifest)
    return outcome


def _dataset(connection: Postgres, dataset: Dataset, folder: Path, outcome: Outcome, progress: Progress) -> Exported:
    found = days(connection, dataset, manifests.period(outcome.manifest))
    rows = sum(day.rows for day in found.values())
    missing = {day: what for day, what in found.items() if not is_written(path_of(folder, dataset, day), what)}
    done = rows - sum(day.rows for day in missing.values())
    progress(dataset.name, done, rows)
    for batch_rows in _write(connection, dataset, folder, missing):
        done += batch_rows
        progress(dataset.name, done, rows)
    outcome.written += len(missing)
    outcome.kept += len(found) - len(missing)
    outcome.deleted += _delete_others(folder, dataset, found)
    exported = Exported()
    for day, what in found.items():
        exported.add(_file(folder, path_of(folder, dataset, day), day, what))
    return exported


def _write(connection: Postgres, dataset: Dataset, folder: Path, missing: Mapping[date, Day]) -> Iterator[int]:
    """Writes the files of these days, with one reading of all. Yields the rows of each batch."""
    if not missing:
        return
    rows = batches(connection, dataset, min(missing), max(missing))
    waiting = next(rows, None)
    while waiting:
        day = waiting[0]
        if day not in missing:
            waiting = next(rows, None)
            continue
        with day_file(path_of(folder, dataset, day), dataset, missing[day].content) as file:
            while waiting and waiting[0] == day:
                file.add(waiting[1])
                yield len(waiting[1])
                waiting = next(rows, None)
            _compare(dataset, day, file, missing[day])
            reach(Failpoint.IN_EXPORT_FILE)
        reach(Failpoint.AFTER_EXPORT_FILE)


def _compare(dataset: Dataset, day: date, file: DayFile, counted: Day) -> None:
    if difference := file.difference(counted):
        raise ExportError(f"{dataset.name} of {day}: {difference}; that is a defect of ours, please report it")


def _file(folder: Path, path: Path, day: date, what: Day) -> File:
    return File(
        path=str(path.relative_to(folder)),
        day=day,
        rows=what.rows,
        sums=dict(what.sums),
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
    )


def _delete_others(folder: Path, dataset: Dataset, found: Mapping[date, Day]) -> int:
    """Deletes files of days of which nothing is left, and drafts of a killed export. Returns how many days went."""
    kept = {path_of(folder, dataset, day) for day in found}
    deleted = 0
    for path in (folder / dataset.name).glob("part-*.parquet"):
        if path not in kept:
            path.unlink()
            deleted += 1
    for draft in (folder / dataset.name).glob(f"{DRAFT}-*"):
        draft.unlink()
    return deleted


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps other exports out of the folder meanwhile. Raises ExportError while one is in it."""
    descriptor = os.open(private_folder(folder), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ExportError(f"another export is writing {folder}: let it end, or say another folder") from None
    finally:
        os.close(descriptor)
