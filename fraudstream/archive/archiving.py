"""One run of the archive: appends what came since the last, compares it with the ledger, and tidies up."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa

from fraudstream.archive import comparison, lake, rows, topic, upkeep
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
    report = Report()
    # Each statement by itself: a transaction that is open for as long as a backlog takes would keep dead rows.
    with connect(
        settings, settings.postgres.reader, name="archive", autocommit=True, begins_with=BEGINS_WITH
    ) as connection:
        before: datetime = connection.execute(_NOW).fetchall()[0][0]
        wanted = {table: _bounds(settings, table) for table in Table}
        found = [each for bounds in wanted.values() for each in _expired(bounds)]
        for table, bounds in wanted.items():
            report.appended[table] = _append_all(settings, connection, table, bounds)
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


def _bounds(settings: Settings, table: Table) -> Bounds:
    kafka, name = settings.kafka.as_role(Role.READER), _TOPICS[table]
    identity, places = topic.topic_id(kafka, name), topic.partitions(kafka, name)
    return topic.bounds(kafka, name, identity, lake.positions(lake.open_table(settings, table), name, identity, places))


def _append_all(settings: Settings, connection: Postgres, table: Table, bounds: Bounds) -> int:
    appended = 0
    for chunk in topic.read(settings.kafka.as_role(Role.READER), bounds, settings.archive.chunk_rows):
        reach(Failpoint.IN_ARCHIVE_READ)
        made = _rows(settings, connection, table, chunk)
        reach(Failpoint.BEFORE_ARCHIVE_APPEND)
        lake.append(settings, table, made, (bounds.topic, bounds.topic_id), chunk.next_offsets)
        reach(Failpoint.AFTER_ARCHIVE_APPEND)
        appended += len(made)
    return appended


def _rows(settings: Settings, connection: Postgres, table: Table, chunk: Chunk) -> pa.Table:
    if table is Table.LABELS:
        return rows.labels(chunk.messages, timedelta(seconds=settings.stream.max_future_seconds))
    found = rows.without_archived(lake.open_table(settings, table), rows.records(chunk.messages))
    return rows.transactions(connection, found)


def _expired(bounds: Bounds) -> Iterator[Difference]:
    for partition, (reached, first) in bounds.expired.items():
        place = f"{bounds.topic}/{partition}"
        yield Difference(
            f"{place} expired {reached} to {first - 1}",
            f"{place} begins at offset {first}: {reached} to {first - 1} expired before they were archived",
        )
