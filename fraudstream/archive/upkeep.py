"""Upkeep of the archive's tables: small files become large ones, replaced and old ones go."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
from deltalake import DeltaTable

from fraudstream.archive.lake import Table, open_table
from fraudstream.failpoints import Failpoint, reach
from fraudstream.settings import Settings

#: A day with so many files below the size is made fewer.
SMALL_FILES = 8
SMALL_BYTES = 64 * 2**20
TARGET_BYTES = 256 * 2**20
#: Readers of an older version, and restores, have so long.
KEPT_HOURS = 168


def compact(table: DeltaTable, kind: Table) -> int:
    """Compacts the days that have many small files, a commit each. Returns how many days it were."""
    days = _fragmented(table, kind)
    for day in days:
        table.optimize.compact(partition_filters=[(kind.day, "=", day.isoformat())], target_size=TARGET_BYTES)
        reach(Failpoint.IN_ARCHIVE_COMPACTION)
    return len(days)


def vacuum(table: DeltaTable) -> int:
    """Deletes files that no version of the last week needs, also those that a killed run left. Returns how many."""
    reach(Failpoint.BEFORE_ARCHIVE_VACUUM)
    return len(table.vacuum(retention_hours=KEPT_HOURS, dry_run=False))


def retire(settings: Settings, *, dry_run: bool) -> Iterator[tuple[Table, int]]:
    """Deletes days that are older than the settings say, or counts their rows, a table after the other.

    Only whole files go: a day is a partition. `vacuum` deletes them from the disk a week later. Raises ArchiveError.
    """
    before = datetime.now(UTC).date() - timedelta(days=settings.retention.archive_days)
    for kind in Table:
        table = open_table(settings, kind)
        if table is None:
            continue
        rows = _rows_before(table, kind, before)
        if rows and not dry_run:
            table.delete(f"{kind.day} < CAST('{before.isoformat()}' AS DATE)")
        yield kind, rows


def _files(table: DeltaTable) -> pa.Table:
    return pa.table(table.get_add_actions(flatten=True))


def _fragmented(table: DeltaTable, kind: Table) -> list[date]:
    files = _files(table)
    days, sizes = files[f"partition.{kind.day}"].to_pylist(), files["size_bytes"].to_pylist()
    small = Counter(day for day, size in zip(days, sizes, strict=True) if size < SMALL_BYTES)
    return sorted(day for day, count in small.items() if count >= SMALL_FILES)


def _rows_before(table: DeltaTable, kind: Table, before: date) -> int:
    files = _files(table)
    days, rows = files[f"partition.{kind.day}"].to_pylist(), files["num_records"].to_pylist()
    return sum(count or 0 for day, count in zip(days, rows, strict=True) if day < before)
