"""The import of a history into an empty platform: what it becomes, and that the books agree with it from then on."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fraudstream.ledger.gaps import KafkaView
from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.retention import tables, thinning
from fraudstream.settings import Settings
from fraudstream.settings.retention import RetentionSettings
from fraudstream.snapshots.folders import newest_usable
from fraudstream.static_data.entities import WINDOW_DAYS
from model.features.profile import PROFILE_LAYOUT
from model.past.importing import Options, import_history
from model.past.mapped import import_mapped
from model.training.history import HistoryFolder
from spark_jobs import fencing, sink, statements
from spark_jobs.fencing import Found
from tests.importing import ROLLED_UP, contents, delete_past, differences, own_files
from tests.integration.test_sink import batch, commit, labelled, one, scored

Postgres = psycopg.Connection[Any]
KEEP = RetentionSettings()
#: The rollups by the hour, from the history's rows in SQL: by the stream's own expressions, and a label for a decision.
EXPECTED = """
WITH newest AS (
    SELECT DISTINCT ON (transaction_id) transaction_id, is_fraud FROM known_labels WHERE labelled_at <= now()
    ORDER BY transaction_id, labelled_at DESC
), rows AS (
    SELECT b.*, coalesce(n.is_fraud, false) AS is_fraud, date_bin('1 hour', event_time, '2000-01-01 00:00+00') AS hour
    FROM bought b LEFT JOIN newest n USING (transaction_id)
), flagged AS (SELECT customer_id, session_id FROM rows WHERE is_fraud)
"""
COUNTS = """
SELECT hour, count(*), count(*) FILTER (WHERE is_fraud), sum(amount),
    coalesce(sum(amount) FILTER (WHERE is_fraud), 0) FROM rows GROUP BY 1 ORDER BY 1
"""
SEGMENTS = """
SELECT hour, shipping_country, payment_method, CASE WHEN is_fraud THEN 'review' ELSE 'allow' END, count(*), sum(amount)
FROM rows GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
LOCATIONS = """
SELECT hour, shipping_country, shipping_city, count(*), sum(amount) FROM rows WHERE is_fraud
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
SALES = """
SELECT hour, item.product_id, sum(item.quantity), sum(item.quantity * item.unit_price)
FROM rows, jsonb_to_recordset(items) AS item (product_id text, quantity bigint, unit_price numeric)
WHERE (customer_id, session_id) NOT IN (SELECT * FROM flagged) GROUP BY 1, 2 ORDER BY 1, 2
"""
#: Days, but for the last, of which hours are kept; the fixture's history ends before now.
SEGMENT_SALES = """
SELECT CASE WHEN hour < date_trunc('day', last, 'UTC') THEN date_trunc('day', hour, 'UTC') ELSE hour END,
    item.product_id, shipping_country, payment_method,
    CASE WHEN hour < date_trunc('day', last, 'UTC') THEN 86400 ELSE 3600 END, sum(item.quantity),
    sum(item.quantity * item.unit_price)
FROM rows, jsonb_to_recordset(items) AS item (product_id text, quantity bigint, unit_price numeric),
    (SELECT last_event FROM fraud.history_imports) AS past (last)
WHERE (customer_id, session_id) NOT IN (SELECT * FROM flagged) GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4
"""

pytestmark = pytest.mark.usefixtures("emptied", "empty_tables", "no_snapshots")


def store_history(connection: Postgres, history: Path) -> None:
    """The history's transactions and labels, as temporary tables."""
    folder = HistoryFolder(history)
    connection.execute(
        "CREATE TEMPORARY TABLE known_labels (transaction_id text, is_fraud boolean, labelled_at timestamptz)"
    )
    connection.execute(
        "CREATE TEMPORARY TABLE bought (transaction_id text, customer_id text, session_id text, "
        "event_time timestamptz, amount numeric, items jsonb, shipping_country text, shipping_city text, "
        "payment_method text)"
    )
    labels = folder.table("labels")[["transaction_id", "is_fraud", "labelled_at"]]
    rows = folder.table("transactions")
    rows["items"] = [psycopg.types.json.Jsonb([dict(item) for item in items]) for items in rows["items"]]
    rows = rows[["transaction_id", "customer_id", "session_id", "event_time", "amount", "items", "shipping_country",
                 "shipping_city", "payment_method"]]  # fmt: skip
    with connection.cursor() as cursor:
        for table, frame in (("known_labels", labels), ("bought", rows)):
            places = ", ".join(["%s"] * len(frame.columns))
            cursor.executemany(f"INSERT INTO {table} VALUES ({places})", frame.itertuples(index=False, name=None))


def test_a_history_becomes_profiles_entity_risk_and_rollups(
    settings: Settings, writer: Postgres, history: Path
) -> None:
    assert import_history(settings, history, Options())
    ours = contents(writer)

    found, skipped = newest_usable(settings.paths.snapshots, PROFILE_LAYOUT, settings.shop.currency)
    assert found and not skipped
    assert found.manifest.moment.offsets == {}
    assert one(writer, "SELECT snapshot, generation > 0 FROM fraud.stream_queries") == (found.name, True)
    assert found.manifest.customers == one(writer, "SELECT customers FROM fraud.history_imports") > 100

    store_history(writer, history)
    window = f"event_time >= date_trunc('day', now(), 'UTC') - interval '{WINDOW_DAYS - 1} days'"
    expected = writer.execute(f"SELECT transaction_id FROM bought WHERE {window} ORDER BY 1".encode()).fetchall()
    assert [row[:1] for row in ours["past_transactions"]] == expected
    assert 0 < len(expected) < 1_500
    refreshed = one(writer, "SELECT transactions, frauds > 0, entities > 0 FROM fraud.entity_risk_versions")
    assert refreshed == (len(expected), True, True)

    columns = {
        "fraud_counts": "window_start, transactions, flagged, amount, flagged_amount",
        "segment_counts": "window_start, shipping_country, payment_method, decision, transactions, amount",
        "fraud_locations": "window_start, shipping_country, shipping_city, flagged, flagged_amount",
        "product_sales": "window_start, product_id, units, revenue",
        "segment_sales": "window_start, product_id, shipping_country, payment_method, seconds, units, revenue",
    }
    queries = (COUNTS, SEGMENTS, LOCATIONS, SALES, SEGMENT_SALES)
    for (table, names), query in zip(columns.items(), queries, strict=True):
        rows = writer.execute(f"SELECT {names} FROM fraud.{table} ORDER BY 1, 2, 3, 4".encode()).fetchall()
        assert rows == writer.execute((EXPECTED + query).encode()).fetchall(), table
    assert one(writer, "SELECT sum(transactions) FROM fraud.fraud_counts") == 1_500
    assert differences(writer) == []


def test_a_shops_own_files_become_the_same_past(
    settings: Settings, writer: Postgres, owner: Postgres, history: Path, tmp_path: Path
) -> None:
    """The history's transactions as JSON by other names, its labels as CSV, its browsing as it is."""
    import_history(settings, history, Options())
    expected = contents(writer)
    delete_past(owner)
    files = own_files(history, tmp_path)
    new, written = import_mapped(settings, files, Options())
    assert new
    assert written.events["transactions"] == 1_500
    assert sum(refused.count for refused in written.refused.values()) == 0
    found = contents(writer)
    for table in ROLLED_UP:
        assert found[table] == expected[table], table
    assert not import_mapped(settings, files, Options())[0], "a repeat makes the same history"
    assert [HistoryFolder(folder).rows("transactions") for folder in settings.paths.mapped.iterdir()] == [1_500]


def test_a_repeat_changes_nothing(settings: Settings, writer: Postgres, history: Path) -> None:
    assert import_history(settings, history, Options(processes=2))
    before = contents(writer), sorted(settings.paths.snapshots.rglob("*"))
    assert not import_history(settings, history, Options())
    assert not import_history(settings, history, Options(replace=True))
    assert (contents(writer), sorted(settings.paths.snapshots.rglob("*"))) == before


def test_the_books_agree_whatever_the_stream_adds_to_a_past(
    settings: Settings, writer: Postgres, history: Path
) -> None:
    """Late purchases of the past's hours, one that the past has too, and what retention does to all of it."""
    import_history(settings, history, Options())
    sink.prepare(writer)
    generation = one(writer, "SELECT generation FROM fraud.stream_queries")
    found = Found(generation, None, "nowhere")
    driver = fencing.become_driver(writer, settings, found, lambda: KafkaView({}, {}, {}))
    until = one(writer, "SELECT rollups_until FROM fraud.history_imports")
    past = HistoryFolder(history).table("transactions").iloc[-1]
    rows = [
        scored(0, event_time=iso_milliseconds(until + timedelta(minutes=5))),
        scored(1, session_id="s-2", event_time=iso_milliseconds(until - timedelta(hours=2) + timedelta(seconds=3))),
        scored(2, session_id="s-3", transaction_id=past["transaction_id"], event_time=iso_milliseconds(until)),
        labelled(0, transaction_id="tx-0"),
    ]
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 3), (Topic.TRANSACTION_LABELS, 0, 1)), rows)
    assert differences(writer) == []
    published = writer.execute(statements.SALES_TO_PUBLISH.encode(), (0,)).fetchall()
    assert [row[1] for row in published] == [until], "a past's window isn't the stream's, and tx-0 is fraud"
    list(thinning.thin(writer, KEEP))
    list(tables.retire(writer, KEEP))
    assert differences(writer) == []
    list(tables.retire(writer, KEEP.model_copy(update={"rollups_days": 20.0})))
    assert differences(writer) == []
    left = one(writer, "SELECT sum(transactions), min(window_start) FROM fraud.fraud_counts")
    assert left[0] < 1_400
    assert left[1] > datetime.now(UTC) - timedelta(days=21)


def test_what_entity_risk_no_longer_counts_is_deleted(
    settings: Settings, writer: Postgres, owner: Postgres, history: Path
) -> None:
    import_history(settings, history, Options())
    kept = one(writer, "SELECT count(*) FROM fraud.past_transactions")
    old = "transaction_id IN (SELECT transaction_id FROM fraud.past_labels)"
    owner.execute(f"UPDATE fraud.past_transactions SET event_time = event_time - interval '61 days' WHERE {old}")
    gone = {retired.table: retired.rows for retired in tables.retire(writer, KEEP)}["past_transactions"]
    assert 0 < gone == kept - one(writer, "SELECT count(*) FROM fraud.past_transactions")
    assert one(writer, "SELECT count(*) FROM fraud.past_labels") == 0
    assert differences(writer) == []
