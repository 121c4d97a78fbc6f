"""Readers of the archive: a period's transactions with their features, and labels as they were known at a time.

`read` gives a DuckDB relation over Arrow: only the columns and days that a query needs are read, from a folder or an
object store alike. Columns: docs/archive.md.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
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
    NULL::VARCHAR AS label_source, NULL::TIMESTAMPTZ AS fraud_known_at{ages}
FROM transactions t
"""


_WITHIN = """
arg_max(x.is_fraud, (x.labelled_at, x.known_at, x.kafka_offset))
    FILTER (WHERE epoch(x.known_at) - epoch(t.event_time) <= {seconds}) AS {name}
"""
_BY_AGE = """
SELECT * FROM ({labelled}) LEFT JOIN (
    SELECT transaction_id, {ages} FROM labels x JOIN transactions t USING (transaction_id) GROUP BY transaction_id
) USING (transaction_id)
"""
_OF_AGE = """(
    SELECT x.* FROM labels x JOIN transactions USING (transaction_id)
    WHERE epoch(x.known_at) - epoch(event_time) <= {seconds}
)"""


#: Labels whose `known_at` is when they were made.
_AS_LABELLED = "CREATE VIEW labels AS SELECT * REPLACE (labelled_at AS known_at) FROM received"


#: No label is known so long before its event, besides what an event may be in the future.
BEFORE = timedelta(days=1)


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


def within(age: timedelta) -> str:
    """Name of the column that says whether a label of that age, of those that were known, says fraud."""
    return f"fraud_within_{age.total_seconds():.0f}_s"


@contextmanager
def read_unlabelled(settings: Settings, period: Period) -> Iterator[duckdb.DuckDBPyRelation]:
    """A relation of the transactions of `period`, without looking at labels. Raises ArchiveError as `read` does."""
    table = existing(settings)
    with duckdb.connect(config={"enable_external_access": False}) as database:
        database.execute("SET TimeZone = 'UTC'")
        database.register("transactions", _of_period(table, period))
        yield database.sql("FROM transactions")


@contextmanager
def read(
    settings: Settings,
    period: Period,
    known_at: datetime | None = None,
    age: timedelta | None = None,
    ages: Sequence[timedelta] = (),
    *,
    as_labelled: bool = False,
) -> Iterator[duckdb.DuckDBPyRelation]:
    """A relation of the transactions of `period`, with the labels that were known at `known_at`; None: all.

    Of those, of each transaction only what was known when it was `age` old; None: all. `fraud_known_at` is when the
    first label of fraud was known, whatever the newest one says. Of each of `ages` a column `within(age)` has what the
    newest label of that age says, null where there was none.

    With `as_labelled` a label counts as known when it was made, not when Kafka got it: for events that were sent later
    than they happened.

    It is of the tables' versions of now, and ends with the context. Raises ArchiveError when nothing is archived yet.
    """
    table = existing(settings)
    labels = open_table(settings, Table.LABELS)
    with duckdb.connect(config={"enable_external_access": False}) as database:
        database.execute("SET TimeZone = 'UTC'")
        database.register("transactions", _of_period(table, period))
        if labels is None:
            yield database.sql(_NO_LABELS.format(ages="".join(f", NULL::BOOLEAN AS {within(each)}" for each in ages)))
            return
        until = known_at if age is None else min(filter(None, (known_at, period.until + age)))
        begin = _begin_of_labels(settings, period)
        if as_labelled:
            database.register("received", _labelled(labels, begin, until))
            database.execute(_AS_LABELLED)
        else:
            database.register("labels", _known(labels, begin, until))
        counted = "labels" if age is None else _OF_AGE.format(seconds=age.total_seconds())
        labelled = _LABELLED.format(labels=counted)
        yield database.sql(_with_ages(labelled, ages) if ages else labelled)


def _with_ages(labelled: str, ages: Sequence[timedelta]) -> str:
    columns = (_WITHIN.format(seconds=each.total_seconds(), name=within(each)) for each in ages)
    return _BY_AGE.format(labelled=labelled, ages=", ".join(columns))


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


def _of_period(table: DeltaTable, period: Period) -> ds.Dataset:
    day, time = ds.field(Table.TRANSACTIONS.day), ds.field("event_time")
    since, until = (moment.astimezone(UTC) for moment in (period.since, period.until))
    stamp = pa.timestamp("us", "UTC")
    days = (day >= since.date()) & (day <= until.date())
    return table.to_pyarrow_dataset().filter(
        days & (time >= pa.scalar(since, stamp)) & (time < pa.scalar(until, stamp))
    )


def _begin_of_labels(settings: Settings, period: Period) -> datetime:
    return period.since - BEFORE - timedelta(seconds=settings.stream.max_future_seconds)


def _known(labels: DeltaTable, since: datetime, until: datetime | None) -> ds.Dataset:
    """Labels that were known from the day of `since` to `until`; None: to now. Other days aren't read."""
    day, time = ds.field(Table.LABELS.day), ds.field("known_at")
    chosen = day >= since.astimezone(UTC).date()
    if until is not None:
        until = until.astimezone(UTC)
        chosen &= (day <= until.date()) & (time <= pa.scalar(until, pa.timestamp("us", "UTC")))
    return labels.to_pyarrow_dataset().filter(chosen)


def _labelled(labels: DeltaTable, since: datetime, until: datetime | None) -> ds.Dataset:
    """Labels that came on the day of `since` or later, and were made by `until`; None: all of them."""
    chosen = ds.field(Table.LABELS.day) >= since.astimezone(UTC).date()
    if until is not None:
        chosen &= ds.field("labelled_at") <= pa.scalar(until.astimezone(UTC), pa.timestamp("us", "UTC"))
    return labels.to_pyarrow_dataset().filter(chosen)
