"""The stream's lineage from a real ledger: what an hour read and wrote, by columns and fields that exist."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from fraudstream.ledger import lineage
from fraudstream.ledger.lineage import HOUR
from fraudstream.messages.contracts import Topic
from fraudstream.storage.tables import metadata
from spark_jobs.fencing import Driver
from tests.integration.test_sink import batch, commit, dead, labelled, scored

Postgres = psycopg.Connection[Any]

pytestmark = pytest.mark.usefixtures("empty_tables")


def test_an_hour_says_what_was_read_and_written(writer: Postgres, owner: Postgres, driver: Driver) -> None:
    first = batch(0, (Topic.TRANSACTIONS, 0, 3), (Topic.TRANSACTION_LABELS, 0, 1))
    commit(writer, driver, first, [scored(0), scored(1, session_id="s-2"), dead(2, b"{"), labelled(0)])
    commit(writer, driver, batch(1, (Topic.TRANSACTIONS, 3, 4)), [scored(3, session_id="s-3")])
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    owner.execute("UPDATE fraud.stream_batches SET committed_at = %s", (now - 2 * HOUR + timedelta(minutes=59),))
    [hour] = lineage.hours(writer, now - 3 * HOUR, now)
    assert (hour.begin, hour.end) == (now - 2 * HOUR, now - HOUR)
    assert {read.topic: read.messages for read in hour.reads} == {"transaction-labels": 1, "transactions": 4}
    rows = {written.table: written.rows for written in hour.writes if written.rows is not None}
    assert rows == {"scored_transactions": 3, "transaction_labels": 1, "dead_letters": 1}

    fields = {(read.topic, field) for read in hour.reads for field in read.fields}
    for written in hour.writes:
        assert list(written.columns) == metadata.tables[f"fraud.{written.table}"].columns.keys()
        assert set(written.sources) <= set(written.columns), written.table
        assert {source for of in written.sources.values() for source in of} <= fields, "no browsing was read"
    sources = {written.table: written.sources for written in hour.writes}
    assert sources["scored_transactions"]["amount"] == (("transactions", "amount"),)
    assert ("transactions", "currency") in sources["fraud_counts"]["amount"]
    assert sources["transaction_labels"]["is_fraud"] == (("transaction-labels", "is_fraud"),)


def test_an_hour_that_is_not_over_is_not_told(writer: Postgres, driver: Driver) -> None:
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 1)), [scored(0)])
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    assert list(lineage.hours(writer, hour - HOUR, now)) == []
