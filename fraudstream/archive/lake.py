"""The archive's Delta tables: where they are, how far they got, and appends that happen once.

An append and the Kafka offsets that it reached are one commit of the table: Delta's app transactions, an application id
for each partition, whose version is the next offset. So a run that is killed has appended all of a chunk or nothing,
and the next one reads on from there. Of two runs at the same time one commits a chunk, and the other fails.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError

from fraudstream.errors import FraudstreamError
from fraudstream.settings import Settings

#: Names of features begin with it as columns, since a transaction's own fields have the same ones (`amount`).
FEATURE_PREFIX = "f_"


class ArchiveError(FraudstreamError):
    """The archive can't be read or written; the message names the table."""


class Table(StrEnum):
    """The archive's tables, each a folder of it, and the column that it is partitioned by."""

    TRANSACTIONS = "transactions"
    LABELS = "labels"

    @property
    def day(self) -> str:
        """The partition column, a date in UTC."""
        return "event_day" if self is Table.TRANSACTIONS else "known_day"


def location(settings: Settings, table: Table) -> str:
    """The table's folder or URL."""
    return f"{settings.archive_url}/{table}"


def open_table(settings: Settings, table: Table) -> DeltaTable | None:
    """The table as it is now; None before its first append. Raises ArchiveError."""
    where = location(settings, table)
    try:
        return DeltaTable(where) if DeltaTable.is_deltatable(where) else None
    except (DeltaError, OSError) as error:
        raise ArchiveError(f"the archive at {where} can't be read ({error}): see FRAUDSTREAM_ARCHIVE__URL") from error


def positions(table: DeltaTable | None, topic: str, topic_id: str, partitions: Iterable[int]) -> dict[int, int]:
    """The offset of each partition that the next append begins with; nothing for one that was never archived."""
    if table is None:
        return {}
    found = {each: table.transaction_version(_application(topic, topic_id, each)) for each in partitions}
    return {partition: offset for partition, offset in found.items() if offset is not None}


def append(
    settings: Settings,
    kind: Table,
    seen: DeltaTable | None,
    rows: pa.Table,
    topic: tuple[str, str],
    offsets: Mapping[int, int],
) -> DeltaTable:
    """Appends `rows`, and moves the positions of `topic` (name, id) to `offsets`, in one commit. Returns the table.

    `seen` is the table as it was when the rows' positions were read: what another run has appended since, for the same
    partitions, makes it fail. Raises ArchiveError.
    """
    where = location(settings, kind)
    if "://" not in where:
        Path(where).mkdir(mode=0o700, parents=True, exist_ok=True)
    reached = [Transaction(_application(*topic, partition), offset) for partition, offset in offsets.items()]
    try:
        write_deltalake(
            where if seen is None else seen,
            rows,
            mode="error" if seen is None else "append",
            partition_by=[kind.day],
            schema_mode=None if seen is None else "merge",  # a new feature is a new column
            commit_properties=CommitProperties(app_transactions=reached, max_commit_retries=0),
        )
    except (DeltaError, OSError) as error:
        raise ArchiveError(f"the archive at {where} takes no rows ({error}); the next run goes on from here") from error
    table = open_table(settings, kind)
    if positions(table, *topic, offsets) != dict(offsets):
        raise ArchiveError(f"another run appends to {where}, too: the next one goes on from where both ended")
    assert table is not None  # noqa: S101 (it has positions)
    return table


def _application(topic: str, topic_id: str, partition: int) -> str:
    """A topic that is made anew begins at offset 0 again, under another id."""
    return f"fraudstream/{topic}/{topic_id}/{partition}"
