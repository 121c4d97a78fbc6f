"""Readers of the archive: a period's transactions with their features, and labels as they were known at a time.

`read` gives a DuckDB relation over Arrow: only the columns and days that a query needs are read, from a folder or an
object store alike. Columns: docs/archive.md.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from fraudstream.archive.lake import FEATURE_PREFIX, ArchiveError, Table, location, open_table
from fraudstream.settings import Settings

#: Of several labels of a transaction the newest that was known counts; of equal times, the one that came later.
_LABELLED = """
SELECT t.*, l.is_fraud AS labelled_fraud, l.labelled_at, l.known_at, l.source AS label_source, l.fraud_known_at
FROM transactions t LEFT JOIN (
    SELECT transaction_id, is_fraud, labelled_at, known_at, source,
        min(known_at) FILTER (is_fraud) OVER (PARTITION BY transaction_id) AS fraud_known_at
    FROM {labels}
    QUALIFY row_number() OVER (
        PARTITION BY transaction_id ORDER BY labelled_at DESC, known_at DESC, kafka_offset DESC
    ) = 1
) l USING (transaction_id)
"""
_NO_LABELS = """
SELECT t.*, NULL::BOOLEAN AS labelled_fraud, NULL::TIMESTAMPTZ AS labelled_at, NULL::TIMESTAMPTZ AS known_at,
    NULL::VARCHAR AS label_source, NULL::TIMESTAMPTZ AS fraud_known_at
FROM transactions t
"""


_OF_AGE = """(
    SELECT x.* FROM labels x JOIN transactions USING (transaction_id)
    WHERE epoch(x.known_at) - epoch(event_time) <= {seconds}
)"""


@dataclass(frozen=True)
class Period:
    """Event times from `since` until `until` (exclusive), both aware."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        if self.since.tzinfo is None or self.until.tzinfo is None:
            raise ArchiveError(f"{self.since} to {self.until} has no time zone: give aware times, such as UTC's")
        if self.since >= self.until:
            raise ArchiveError(f"{self.since} to {self.until} is no period: it ends before it begins")


@contextmanager
def read(
    settings: Settings, period: Period, known_at: datetime | None = None, age: timedelta | None = None
) -> Iterator[duckdb.DuckDBPyRelation]:
    """A relation of the transactions of `period`, with the labels that were known at `known_at`; None: all.

    Of those, of each transaction only what was known when it was `age` old; None: all. `fraud_known_at` is when the
    first label of fraud was known, whatever the newest one says.

    It is of the tables' versions of now, and ends with the context. Raises ArchiveError when nothing is archived yet.
    """
    table = existing(settings)
    labels = open_table(settings, Table.LABELS)
    with duckdb.connect(config={"enable_external_access": False}) as database:
        database.execute("SET TimeZone = 'UTC'")
        database.register("transactions", _of_period(table, period))
        if labels is None:
            yield database.sql(_NO_LABELS)
            return
        database.register("labels", _known(labels, known_at))
        counted = "labels" if age is None else _OF_AGE.format(seconds=age.total_seconds())
        yield database.sql(_LABELLED.format(labels=counted))


def existing(settings: Settings) -> DeltaTable:
    """The table `transactions`. Raises ArchiveError when there is none yet."""
    table = open_table(settings, Table.TRANSACTIONS)
    if table is None:
        where = location(settings, Table.TRANSACTIONS)
        raise ArchiveError(f"nothing is archived at {where} yet: trigger the Dag archive_transactions")
    return table


def feature_columns(table: DeltaTable) -> list[str]:
    """The columns that are features, in the table's order."""
    return [name for name in table.to_pyarrow_dataset().schema.names if name.startswith(FEATURE_PREFIX)]


def covered(settings: Settings) -> Period | None:
    """The period from the first to the last archived event, by the files' bounds; None when nothing is archived."""
    table = open_table(settings, Table.TRANSACTIONS)
    if table is None:
        return None
    files = pa.table(table.get_add_actions(flatten=True))
    files = files.filter(pc.greater(files["num_records"], 0))
    if not files.num_rows:
        return None
    first = pc.min(files["min.event_time"]).as_py()
    last = pc.max(files["max.event_time"]).as_py()
    return Period(_aware(first), _aware(last).replace(microsecond=999_999))


def _of_period(table: DeltaTable, period: Period) -> ds.Dataset:
    day, time = ds.field(Table.TRANSACTIONS.day), ds.field("event_time")
    since, until = (moment.astimezone(UTC) for moment in (period.since, period.until))
    stamp = pa.timestamp("us", "UTC")
    days = (day >= since.date()) & (day <= until.date())
    return table.to_pyarrow_dataset().filter(
        days & (time >= pa.scalar(since, stamp)) & (time < pa.scalar(until, stamp))
    )


def _known(labels: DeltaTable, known_at: datetime | None) -> ds.Dataset:
    dataset = labels.to_pyarrow_dataset()
    if known_at is None:
        return dataset
    return dataset.filter(ds.field("known_at") <= pa.scalar(known_at.astimezone(UTC), pa.timestamp("us", "UTC")))


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
