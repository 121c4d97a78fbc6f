"""The import of a history into a platform: what it becomes, that it happens once or not at all, and what it refuses."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudstream.failpoints import IN_IMPORT, Failpoint
from fraudstream.files import delete
from fraudstream.ledger import figures, reconciliation, rotation
from fraudstream.ledger.gaps import KafkaView
from fraudstream.mappings.suggest import to_toml
from fraudstream.messages.contracts import BrowseEvent, Topic, Transaction, iso_milliseconds
from fraudstream.messages.mapping.fields import Kind
from fraudstream.retention import tables, thinning
from fraudstream.settings import Settings
from fraudstream.settings.retention import RetentionSettings
from fraudstream.simulator.history import write_history
from fraudstream.simulator.history_plan import HistoryPlan
from fraudstream.snapshots.folders import newest_usable, verify
from fraudstream.static_data.entities import WINDOW_DAYS
from model.features.profile import PROFILE_LAYOUT
from model.past.folder import PastError
from model.past.importing import Options, import_history
from model.past.mapped import Files, import_mapped
from model.training.history import HistoryFolder
from spark_jobs import fencing, sink, statements
from spark_jobs.fencing import Found
from tests.commands import run_here, run_until
from tests.integration.test_sink import batch, commit, labelled, one, scored
from tests.streaming import become_driver

Postgres = psycopg.Connection[Any]
DAYS = 35
KEEP = RetentionSettings()
#: What an import may change. Times of commits aren't among it.
ROLLED_UP = ("past_transactions", "past_labels", "fraud_counts", "segment_counts", "fraud_locations", "product_sales")
TABLES = (
    *ROLLED_UP,
    *("retired_totals", "rollup_horizons", "entity_risk", "history_imports", "stream_queries"),
)
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

pytestmark = pytest.mark.usefixtures("emptied", "empty_tables")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop's 35 days until two hours ago."""
    folder = tmp_path_factory.mktemp("past") / "history"
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    list(write_history(folder, HistoryPlan(42, 300, 200, 1_500, 0.05, DAYS, end), 1))
    return folder


@pytest.fixture(autouse=True)
def no_snapshots(settings: Settings) -> Iterator[None]:
    """A platform without a snapshot."""
    yield
    for folder in settings.paths.snapshots.iterdir():
        delete(folder)


def contents(connection: Postgres) -> dict[str, list[Any]]:
    return {
        table: connection.execute(f"SELECT * FROM fraud.{table} AS t ORDER BY 1, 2, t::text".encode()).fetchall()
        for table in TABLES
    }


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


def differences(connection: Postgres) -> list[str]:
    """What reconciliation finds in all that is there, and in the sum of all time."""
    found = rotation.compare_next(connection, whole=True).differences
    found += reconciliation._counts(connection, figures.totals(connection).scored)
    return [difference.text for difference in found]


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
    }
    for (table, names), query in zip(columns.items(), (COUNTS, SEGMENTS, LOCATIONS, SALES), strict=True):
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


def own_files(history: Path, folder: Path) -> list[Files]:
    """A shop's own files of `history`, with their mappings."""
    orders, labels = folder / "orders.jsonl", folder / "labels.csv"
    rows = HistoryFolder(history).table("transactions").to_dict("records")
    with orders.open("wb") as file:
        for row in rows:
            row = {
                name: None if value is pd.NaT or value != value else value
                for name, value in row.items()
                if name != "items"
            } | {"items": [dict(item) for item in row["items"]]}
            row["event_time"] = round(row["event_time"].timestamp() * 1000)
            file.write(msgspec.json.encode({"order": {f"my_{name}": value for name, value in row.items()}}) + b"\n")
    HistoryFolder(history).table("labels").to_csv(labels, index=False)
    fields: dict[str, Any] = {
        name: f"order.my_{name}" for name in Transaction.__struct_fields__ if name not in {"schema_version", "items"}
    }
    fields["event_time"] = {"path": fields["event_time"], "time": "epoch_ms"}
    browse_names = [name for name in BrowseEvent.__struct_fields__ if name != "schema_version"]
    mappings: dict[str, dict[str, Any]] = {
        "orders": {
            "source": {"kind": "transaction", "format": "json"},
            "fields": {name: path for name, path in fields.items() if name != "shop"},
            "items": {"path": "order.my_items", "product_id": "product_id", "quantity": "quantity",
                      "unit_price": "unit_price"},
        },
        "labels": {
            "source": {"kind": "label", "format": "csv"},
            "fields": {name: name for name in ("transaction_id", "is_fraud", "labelled_at", "source")},
        },
        "browse": {
            "source": {"kind": "browse", "format": "parquet"},
            "fields": {name: name for name in browse_names if name != "shop"},
        },
    }  # fmt: skip
    for name, content in mappings.items():
        (folder / f"{name}.toml").write_text(to_toml(content))
    return [
        Files("--mapping", orders, folder / "orders.toml", Kind.TRANSACTION),
        Files("--labels", labels, folder / "labels.toml", Kind.LABEL),
        Files("--browse", history / "browse_events", folder / "browse.toml", Kind.BROWSE),
    ]


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


def test_a_stream_that_has_read_keeps_its_profiles_unless_asked(
    settings: Settings, writer: Postgres, history: Path
) -> None:
    sink.prepare(writer)
    began = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=3)
    rows = [scored(0, event_time=iso_milliseconds(began + timedelta(minutes=1)))]
    commit(writer, become_driver(writer, settings), batch(0, (Topic.TRANSACTIONS, 0, 1)), rows)
    before = contents(writer)
    with pytest.raises(PastError, match=r"the stream has read 1 messages, .*: say --replace if they may become those"):
        import_history(settings, history, Options())
    with pytest.raises(PastError, match=r"the ledger is at 1.*: say --accept-loss to go on without them"):
        import_history(settings, history, Options(replace=True))  # Kafka has no message of it
    assert contents(writer) == before

    assert import_history(settings, history, Options(replace=True, accept_loss=True))
    assert one(writer, "SELECT rollups_until FROM fraud.history_imports") == began
    assert one(writer, f"SELECT count(*) FROM fraud.fraud_counts WHERE window_start >= '{began}'") == 1
    assert differences(writer) == []


def test_another_past_takes_the_place_of_the_first_only_when_asked(
    settings: Settings, writer: Postgres, owner: Postgres, history: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    list(write_history(other, HistoryPlan(7, 300, 200, 300, 0.05, 5, end), 1))
    import_history(settings, other, Options())
    expected = contents(writer)
    delete_past(owner)

    import_history(settings, history, Options())
    with pytest.raises(PastError, match=f"{history} was imported on .* say --replace to put this one in its place"):
        import_history(settings, other, Options())
    assert import_history(settings, other, Options(replace=True))
    found = contents(writer)
    for table in ROLLED_UP:
        assert found[table] == expected[table], table
    assert differences(writer) == []
    assert [folder.name for folder in settings.paths.snapshots.iterdir()] == [
        one(writer, "SELECT snapshot FROM fraud.stream_queries")
    ]


def delete_past(owner: Postgres) -> None:
    """As if nothing had been imported."""
    for table in TABLES:
        owner.execute(f"DELETE FROM fraud.{table}".encode())


def test_an_import_that_fails_at_its_end_leaves_nothing(
    settings: Settings, writer: Postgres, history: Path, tmp_path: Path
) -> None:
    """A text that Postgres can't hold is found only when everything else is done."""
    broken = tmp_path / "broken"
    list(write_history(broken, HistoryPlan(7, 300, 200, 300, 0.05, 5, datetime.now(UTC) - timedelta(days=1)), 1))
    part = sorted((broken / "transactions").iterdir())[-1]
    rows = pq.read_table(part).to_pandas()
    rows.loc[0, "device_id"] = "d-\0"
    pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), part)
    before = contents(writer)
    with pytest.raises(PastError, match=r"Postgres refuses the import .*0x00.*: nothing is changed"):
        import_history(settings, broken, Options())
    assert contents(writer) == before
    assert list(settings.paths.snapshots.iterdir()) == []


def test_what_a_killed_import_left_is_cleared_away(
    settings: Settings, writer: Postgres, owner: Postgres, history: Path
) -> None:
    """Killed between its snapshot and its commit: a rebuild would else begin with it."""
    import_history(settings, history, Options())
    snapshot = one(writer, "SELECT snapshot FROM fraud.history_imports")
    delete_past(owner)
    (settings.paths.snapshots / snapshot).rename(settings.paths.snapshots / "history-000000000000")
    assert import_history(settings, history, Options())
    assert [folder.name for folder in settings.paths.snapshots.iterdir()] == [snapshot]
    verify(settings.paths.snapshots / snapshot)


@pytest.mark.parametrize("point", sorted(IN_IMPORT))
def test_an_import_killed_at_any_step_is_repeated_once_and_counts_once(
    settings: Settings, writer: Postgres, owner: Postgres, history: Path, tmp_path: Path, point: Failpoint
) -> None:
    """In the place of another past, with a shop's own files: what is there afterwards is what no kill would leave."""
    other = tmp_path / "other"
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    list(write_history(other, HistoryPlan(7, 300, 200, 300, 0.05, 5, end), 1))
    files = own_files(other, tmp_path)
    import_mapped(settings, files, Options())
    expected = contents(writer)
    delete_past(owner)
    import_history(settings, history, Options())

    command = importing(files)
    run_until(f"{point}=kill", *command)
    again = run_here(*command)
    assert again.returncode == 0, again.stderr
    told = "already imported" if point is Failpoint.AFTER_IMPORT_COMMIT else "imported: 300 transactions"
    assert told in again.stdout
    begun = point in {Failpoint.AFTER_IMPORT_PROFILES, Failpoint.BEFORE_IMPORT_COMMIT}
    assert ("this one begins anew" in " ".join(again.stderr.split())) == begun
    found = contents(writer)
    for table in ROLLED_UP:
        assert found[table] == expected[table], table
    assert differences(writer) == []
    kept = one(writer, "SELECT snapshot FROM fraud.history_imports")
    assert [folder.name for folder in settings.paths.snapshots.iterdir()] == [kept]
    assert len(list(settings.paths.mapped.iterdir())) == 1


def importing(files: list[Files]) -> list[str]:
    """The command that imports them in the place of another past."""
    options = [
        str(argument)
        for each in files
        for argument in (
            (each.data, "--mapping", each.mapping)
            if each.option == "--mapping"
            else (each.option, each.data, f"{each.option}-mapping", each.mapping)
        )
    ]
    return ["model.past", "import", *options, "--replace", "--processes", "1"]
