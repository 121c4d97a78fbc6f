"""One run of the archive: appends what came since the last, compares it with the ledger, and tidies up."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa
from deltalake import DeltaTable

from fraudstream.archive import comparison, lake, lock, rows, topic, upkeep
from fraudstream.archive.erased import ErasedTransactions
from fraudstream.archive.lake import Table
from fraudstream.archive.topic import Bounds, Chunk
from fraudstream.failpoints import Failpoint, reach
from fraudstream.ledger import differences
from fraudstream.ledger.differences import Difference
from fraudstream.messages.contracts import Topic
from fraudstream.settings import Settings
from fraudstream.settings.kafka import Role
from fraudstream.storage.connect import Postgres, connect, session

_TOPICS = {Table.TRANSACTIONS: Topic.TRANSACTION_FEATURES, Table.LABELS: Topic.TRANSACTION_LABELS}
#: A reader's own limit is for dashboards.
BEGINS_WITH = {"statement_timeout": "5min"}
_NOW = "SELECT clock_timestamp()"
_NOTE = """
INSERT INTO fraud.archive_runs (transactions, labels, compared_from, compared_until, differences)
VALUES (%s, %s, %s, %s, %s)
"""


@dataclass
class Report:
    """What a run did; `found` are differences that nobody has acknowledged."""

    appended: dict[Table, int] = field(default_factory=dict)
    compared: int = 0
    found: list[Difference] = field(default_factory=list)
    compacted_days: int = 0
    deleted_files: int = 0


def archive(settings: Settings) -> Report:
    """Archives until the ends that the topics have now. What a killed run left out, the next one does.

    Raises ArchiveError, KafkaUnavailableError, PostgresUnavailableError or psycopg.Error.
    """
    with lock.alone(settings):
        return _archive(settings)


def _archive(settings: Settings) -> Report:
    report = Report()
    # Each statement by itself: a transaction that is open for as long as a backlog takes would keep dead rows.
    with connect(
        settings, settings.postgres.reader, name="archive", autocommit=True, begins_with=BEGINS_WITH
    ) as connection:
        before: datetime = connection.execute(_NOW).fetchall()[0][0]
        wanted = [_work(settings, kind) for kind in Table]
        found = [each for work in wanted for each in _expired(work.bounds)]
        for work in wanted:
            report.appended[work.kind] = _append_all(settings, connection, work)
        compared = comparison.compare(connection, lake.open_table(settings, Table.TRANSACTIONS), before)
    report.compared = compared.until - compared.since
    reach(Failpoint.BEFORE_ARCHIVE_NOTE)
    with session(settings, settings.postgres.writer, name="archive") as connection:
        report.found = differences.keep(connection, [*found, *compared.found])
        counts = (report.appended[Table.TRANSACTIONS], report.appended[Table.LABELS])
        connection.execute(_NOTE, (*counts, compared.since, compared.until, len(report.found)))
    for kind in Table:
        if table_now := lake.open_table(settings, kind):
            report.compacted_days += upkeep.compact(table_now, kind)
            report.deleted_files += upkeep.vacuum(table_now)
    return report


@dataclass(frozen=True)
class _Work:
    """A table as it is, and what of its topic isn't in it yet."""

    kind: Table
    table: DeltaTable | None
    bounds: Bounds


def _work(settings: Settings, kind: Table) -> _Work:
    kafka, name = settings.kafka.as_role(Role.READER), _TOPICS[kind]
    identity, places = topic.topic_id(kafka, name), topic.partitions(kafka, name)
    table = lake.open_table(settings, kind)
    return _Work(kind, table, topic.bounds(kafka, name, identity, lake.positions(table, name, identity, places)))


def _append_all(settings: Settings, connection: Postgres, work: _Work) -> int:
    appended, table, bounds = 0, work.table, work.bounds
    for chunk in topic.read(settings.kafka.as_role(Role.READER), bounds, settings.archive.chunk_rows):
        reach(Failpoint.IN_ARCHIVE_READ)
        made = _rows(settings, connection, work.kind, table, chunk)
        reach(Failpoint.BEFORE_ARCHIVE_APPEND)
        place = bounds.topic.value, bounds.topic_id
        table = lake.append(settings, work.kind, table, made, place, chunk.next_offsets)
        reach(Failpoint.AFTER_ARCHIVE_APPEND)
        appended += len(made)
    return appended


def _rows(settings: Settings, connection: Postgres, kind: Table, table: DeltaTable | None, chunk: Chunk) -> pa.Table:
    erased = ErasedTransactions(connection)
    if kind is Table.LABELS:
        return rows.labels(chunk.messages, timedelta(seconds=settings.stream.max_future_seconds), erased)
    found = [record for record in rows.records(chunk.messages) if record.transaction_id not in erased]
    return rows.transactions(connection, rows.without_archived(table, rows.of_this_ledger(connection, found)))


def _expired(bounds: Bounds) -> Iterator[Difference]:
    for partition, (reached, first) in bounds.expired.items():
        place = f"{bounds.topic}/{partition}"
        yield Difference(
            f"{place} expired {reached} to {first - 1}",
            f"{place} begins at offset {first}: {reached} to {first - 1} expired before they were archived",
        )
