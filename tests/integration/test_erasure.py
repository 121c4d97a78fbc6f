"""A customer is forgotten everywhere, the books stay true, and nothing brings the customer back."""

import itertools
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg.errors import CheckViolation
from sqlalchemy import ARRAY, Boolean, Column, Date, DateTime, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from fraudstream.archive import archiving, upkeep
from fraudstream.archive import lake as archive_lake
from fraudstream.erasure import certificate, known
from fraudstream.erasure import erase as erasing
from fraudstream.erasure.certificate import ErasureError
from fraudstream.erasure.erase import Request
from fraudstream.failpoints import IN_ERASURE, Failpoint
from fraudstream.files import delete
from fraudstream.ledger import rotation
from fraudstream.local.backup import back_up
from fraudstream.local.parts.postgres import binary
from fraudstream.messages.contracts import QUERY, Topic, iso_milliseconds
from fraudstream.settings import Settings
from fraudstream.snapshots.folders import newest_first, verify
from fraudstream.snapshots.manifest import Moment
from fraudstream.snapshots.writing import SCHEMA, write
from fraudstream.static_data.publish import publish
from fraudstream.storage.tables import metadata
from spark_jobs import sink
from spark_jobs.bucket import Kind
from spark_jobs.fencing import Driver
from spark_jobs.publisher import Publisher
from tests.commands import run_here, run_until
from tests.integration.test_archive import expire, restore_tables_and_archive, send_label
from tests.integration.test_sink import batch, become_driver, commit, dead, one, row, scored
from tests.messages import NOW, as_bytes, label, transaction

Postgres = psycopg.Connection[Any]
CUSTOMER, OTHER = "shopper-0017", "shopper-00171"
#: All that names the customer: a trace of one of these is a fault.
TRACES = (CUSTOMER, "order-of-0017", "device-of-0017", "card-of-0017", "visit-of-0017")
_TRACE = re.compile("|".join(f"{re.escape(name)}(?![0-9])" for name in TRACES).encode())
#: Tables whose columns hold what the platform made itself, sums, or rows that go by their keys.
BY_KEY = {
    *("scored_transactions", "fraud_alerts", "transaction_labels", "flagged_sessions", "customers"),
    *("past_transactions", "past_labels", "entity_risk", "erasures", "erased_transactions"),
}
NOBODYS = {
    *("entity_risk_versions", "static_versions", "products", "currency_rates", "product_sales", "fraud_counts"),
    *("fraud_locations", "rule_counts", "retired_transactions", "retired_totals", "rollup_horizons"),
    *("stream_batches", "stream_offsets", "stream_queries", "batch_features", "feature_sets", "platform_readings"),
    *("model_health", "rescored_days", "terminal_hours", "terminal_frauds", "segment_counts"),
}

pytestmark = pytest.mark.usefixtures("empty_tables", "empty_files")


@pytest.fixture
def empty_files(settings: Settings) -> None:
    for folder in (settings.paths.archive, settings.paths.snapshots, settings.paths.mapped):
        delete(folder)
    delete(settings.paths.erasures)
    expire(settings, Topic.TRANSACTION_FEATURES, Topic.TRANSACTION_LABELS)


@pytest.fixture
def driver(settings: Settings, writer: Postgres) -> Driver:
    sink.prepare(writer)
    return become_driver(writer, settings)


@pytest.fixture
def shop(settings: Settings, writer: Postgres, driver: Driver) -> Iterator[Postgres]:
    """Two published batches: two transactions of the customer, one flagged, two of another, a label, a dead letter."""
    publisher = Publisher(settings.kafka, settings.watch.burst_alerts)
    first = batch(0, (Topic.TRANSACTIONS, 0, 4), (Topic.TRANSACTION_LABELS, 0, 1))
    told = row(
        Kind.LABEL,
        Topic.TRANSACTION_LABELS,
        0,
        value=as_bytes(label(transaction_id="order-of-0017-0", is_fraud=True, labelled_at=iso_milliseconds(NOW))),
    )
    refused = as_bytes(transaction(customer_id=CUSTOMER, transaction_id="order-of-0017-9", amount="much"))
    commit(
        writer,
        driver,
        first,
        [theirs(0), theirs(1, is_fraud=True), anothers(2), dead(3, refused), told],
    )
    publisher.publish(writer, 0)
    commit(writer, driver, batch(1, (Topic.TRANSACTIONS, 4, 5)), [anothers(4)])
    publisher.publish(writer, 1)
    let_the_stream_pass(writer)
    yield writer


def theirs(offset: int, *, is_fraud: bool = False) -> dict[str, Any]:
    return scored(
        offset,
        is_fraud=is_fraud,
        customer_id=CUSTOMER,
        transaction_id=f"order-of-0017-{offset}",
        session_id=f"visit-of-0017-{offset}",
        device_id="device-of-0017",
        card_token="card-of-0017",
        promo_code="promo-shopper-0017",
        shipping_latitude=47.3712,
        shipping_longitude=8.5412,
    )


def anothers(offset: int) -> dict[str, Any]:
    return scored(offset, customer_id=OTHER, transaction_id=f"order-{offset}", session_id="s-2", device_id="d-2")


def let_the_stream_pass(writer: Postgres) -> None:
    """As if it had read all browse events, the control message among them."""
    for partition in range(2):
        writer.execute(
            "INSERT INTO fraud.stream_offsets (query, topic, kafka_partition, next_offset, first_offset, scored, "
            "browse_events, labels, dead_lettered, duplicates) "
            "VALUES (%s, 'browse-events', %s, 1000000000, 1000000000, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING",
            (QUERY, partition),
        )


def forget(settings: Settings, **more: Any) -> certificate.Certificate:
    request = Request(CUSTOMER, f"request 1 of {CUSTOMER}", "ann", "bob")
    return erasing.erase(settings, request, **({"wait_seconds": 10.0} | more))


def dump(settings: Settings) -> bytes:
    done = subprocess.run(
        [binary("pg_dump"), "--dbname", settings.dsn(settings.postgres.admin), "--schema", "fraud"],
        capture_output=True,
        check=True,
    )
    return done.stdout


def traces(content: bytes) -> set[bytes]:
    return set(_TRACE.findall(content))


def traces_in(folder: Path) -> set[bytes]:
    return {found for file in folder.rglob("*") if file.is_file() for found in traces(file.read_bytes())}


def test_nothing_of_the_customer_is_left_and_another_s_rows_are_untouched(settings: Settings, shop: Postgres) -> None:
    assert traces(dump(settings)) >= {CUSTOMER.encode(), b"order-of-0017"}
    of_other = f"SELECT * FROM fraud.scored_transactions WHERE customer_id = '{OTHER}' ORDER BY transaction_id"
    before = shop.execute(of_other).fetchall()
    done = forget(settings)
    assert traces(dump(settings)) == set()
    assert traces(settings.paths.erasures.read_bytes()) == set()
    assert len(before) == 2
    assert shop.execute(of_other).fetchall() == before
    assert done.counts["scored_transactions"] == 2
    assert (done.counts["fraud_alerts"], done.counts["transaction_labels"], done.counts["dead_letters"]) == (1, 1, 1)
    assert (done.reason, done.requested_by, done.approved_by) == ("request 1 of (the customer)", "ann", "bob")
    assert done.finished_at is not None
    assert one(shop, "SELECT count(*) FROM fraud.audit_log WHERE what = 'customer erased'") == 1


def test_the_books_agree_and_no_sum_changes(settings: Settings, shop: Postgres) -> None:
    sums = [
        "SELECT sum(amount), count(*), sum(is_fraud::int), sum(counted_in_sales::int) FROM fraud.scored_transactions",
        "SELECT sum(units), sum(revenue) FROM fraud.product_sales",
        "SELECT sum(transactions), sum(amount), sum(flagged_amount) FROM fraud.fraud_counts",
        "SELECT sum(flagged), sum(flagged_amount) FROM fraud.fraud_locations",
        "SELECT count(*) FROM fraud.dead_letters",
        "SELECT count(*) FROM fraud.transaction_labels WHERE is_fraud",
    ]
    before = [one(shop, query) for query in sums]
    forget(settings)
    assert [one(shop, query) for query in sums] == before
    assert rotation.compare_next(shop, whole=True).differences == []


def test_a_repeat_of_an_erased_transaction_is_a_duplicate(settings: Settings, shop: Postgres, driver: Driver) -> None:
    forget(settings)
    commit(shop, driver, batch(2, (Topic.TRANSACTIONS, 5, 6)), [theirs(5) | {"value": theirs(0)["value"]}])
    assert one(shop, "SELECT duplicates FROM fraud.stream_batches WHERE batch_id = 2") == 1


# --- every column of the schema -------------------------------------------------------------------------------------


def plantable() -> list[tuple[str, str]]:
    """Tables and columns that can hold a text, but for those that go by their keys or are nobody's."""
    return [
        (table.name, column.name)
        for table in metadata.sorted_tables
        if table.name not in BY_KEY | NOBODYS
        for column in table.columns
        if isinstance(column.type, Text | JSONB | ARRAY | LargeBinary)
        and not isinstance(getattr(column.type, "item_type", Text()), type(None))
        and not column.foreign_keys
        and not any(key.column is column for other in metadata.sorted_tables for key in foreign_keys(other))
        and allowed_word(table, column) is None
        and not (isinstance(column.type, ARRAY) and not isinstance(column.type.item_type, Text))
    ]


def foreign_keys(table: Table) -> Iterator[Any]:
    for column in table.columns:
        yield from column.foreign_keys


def allowed_word(table: Table, column: Column[Any]) -> str | None:
    for constraint in table.constraints:
        found = re.search(rf"\b{column.name} IN \([^)]*'(\w+)'\)", str(getattr(constraint, "sqltext", "")))
        if found:
            return found[1]  # the last: of some states there is one row at most, and they come first
    return None


_NUMBERS = itertools.count(1000)


def some_value(table: Table, column: Column[Any]) -> Any:
    match column.type:
        case Text():
            return allowed_word(table, column) or f"x{next(_NUMBERS)}"
        case JSONB():
            return "{}"
        case ARRAY():
            return []
        case LargeBinary():
            return b""
        case Boolean():
            return True
        case DateTime():
            return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=next(_NUMBERS))
        case Date():
            return date(2026, 3, 1)
        case Uuid():
            return uuid4()
    return next(_NUMBERS) if "SCORE" not in column.name.upper() else 0.5


def planted(column: Column[Any]) -> Any:
    match column.type:
        case JSONB():
            return f'{{"a": ["{CUSTOMER}", {{"{CUSTOMER}": 17}}], "text": "is {CUSTOMER}, not {OTHER}"}}'
        case ARRAY():
            return ["one", f"of {CUSTOMER}", OTHER]
        case LargeBinary():
            return f'{{"customer_id": "{CUSTOMER}"}}'.encode()
    return f"about {CUSTOMER}'s visit, not {OTHER}'s"


def plant(connection: Postgres, table: Table, column: Column[Any]) -> None:
    """A row with the least, or with all columns where these depend on each other."""
    try:
        insert(connection, table, column, [each for each in table.columns if each is column or not each.nullable])
    except CheckViolation:
        insert(connection, table, column, list(table.columns))


def insert(connection: Postgres, table: Table, planted_in: Column[Any], columns: list[Column[Any]]) -> None:
    values = {
        each.name: planted(each) if each is planted_in else some_value(table, each)
        for each in columns
        if each.identity is None
    }
    names = ", ".join(f'"{name}"' for name in values)
    connection.execute(
        f"INSERT INTO fraud.{table.name} ({names}) VALUES ({', '.join(['%s'] * len(values))})", list(values.values())
    )


def test_a_mention_of_the_customer_anywhere_in_the_schema_goes(settings: Settings, owner: Postgres) -> None:
    """A table or a column that is new is among them, without being named here."""
    places = plantable()
    assert len(places) > 40
    owner.execute("RESET ROLE")
    owner.execute("SET session_replication_role = replica")  # rows that refer to others stand alone here
    for name, column in places:
        table = metadata.tables[f"fraud.{name}"]
        plant(owner, table, table.columns[column])
    owner.execute("SET session_replication_role = origin")
    assert dump(settings).count(CUSTOMER.encode()) > len(places)
    let_the_stream_pass(owner)
    forget(settings)
    left = dump(settings)
    assert traces(left) == set()
    assert left.count(OTHER.encode()) > 20, "another's name that begins alike stays"


def test_an_id_that_is_a_number_takes_no_other_number_along(settings: Settings, shop: Postgres) -> None:
    document = '{"threshold": 42, "customers": ["42", "420"]}'
    shop.execute(
        "INSERT INTO fraud.policy_versions (policy_version, author, comment, document) VALUES (1, 'a', 'of 42', %s)",
        (document,),
    )
    erasing.erase(settings, Request("42", "asked", "ann", "bob"), 10.0)
    kept = one(shop, "SELECT document FROM fraud.policy_versions")
    assert (kept["threshold"], kept["customers"][1]) == (42, "420")
    assert kept["customers"][0].startswith("erased-")


# --- archive, snapshots, histories ------------------------------------------------------------------------------------


def test_the_archive_and_its_files_hold_nothing_and_stay_comparable(settings: Settings, shop: Postgres) -> None:
    send_label(settings, transaction_id="order-of-0017-0", is_fraud=True, labelled_at=iso_milliseconds(NOW))
    assert archiving.archive(settings).found == []
    assert traces_in(settings.paths.archive)
    done = forget(settings)
    assert (done.counts["archive transactions"], done.counts["archive labels"]) == (2, 1)
    assert traces_in(settings.paths.archive) == set()
    table = archive_lake.open_table(settings, archive_lake.Table.TRANSACTIONS)
    assert table is not None
    assert sorted(table.to_pyarrow_table()["transaction_id"].to_pylist()) == ["order-2", "order-4"]
    send_label(settings, transaction_id="order-of-0017-0", is_fraud=False, labelled_at=iso_milliseconds(NOW))
    report = archiving.archive(settings)
    assert (report.found, sum(report.appended.values())) == ([], 0)
    upkeep.compact(table, archive_lake.Table.TRANSACTIONS)
    assert traces_in(settings.paths.archive) == set()


def test_what_is_archived_after_the_erasure_leaves_the_erased_out(settings: Settings, shop: Postgres) -> None:
    forget(settings)
    report = archiving.archive(settings)
    assert (report.found, report.appended[archive_lake.Table.TRANSACTIONS]) == ([], 2)
    assert traces_in(settings.paths.archive) == set()


def test_snapshots_lose_the_profile_and_stay_sound(settings: Settings, shop: Postgres) -> None:
    made = snapshot_of(settings, "night", {})
    later = snapshot_of(settings, "after", {"browse-events": dict.fromkeys(range(2), 2_000_000_000)})
    assert forget(settings).counts["profile snapshots"] == 1
    assert verify(made).customers == 1
    assert traces_in(made) == set()
    assert verify(later).customers == 2, "who came back after the erasure is a new customer"
    assert len(newest_first(settings.paths.snapshots)) == 2


def snapshot_of(settings: Settings, name: str, offsets: dict[str, dict[int, int]]) -> Path:
    moment = Moment(layout=1, made_by="test", shop_currency="EUR", clock_ms=1, offsets=offsets)
    customers = pa.RecordBatch.from_pylist(
        [{"customer_id": each, "expires_ms": 1, "profile": b"p"} for each in (CUSTOMER, OTHER)], SCHEMA
    )
    return write(settings.paths.snapshots, name, [customers], moment).folder


def test_histories_in_files_lose_the_customer_and_the_labels(settings: Settings, shop: Postgres) -> None:
    history(settings)
    assert forget(settings).counts["histories in files"] == 2
    assert traces_in(settings.paths.mapped) == set()
    kept = pq.read_table(settings.paths.mapped / "h" / "labels" / "part-0.parquet")
    assert kept["transaction_id"].to_pylist() == ["order-b"]


def history(settings: Settings) -> None:
    folder = settings.paths.mapped / "h"
    orders = pa.table({"transaction_id": ["order-of-0017-a", "order-b"], "customer_id": [CUSTOMER, OTHER]})
    for name, table in {"transactions": orders, "labels": orders.select(["transaction_id"])}.items():
        (folder / name).mkdir(parents=True)
        pq.write_table(table, folder / name / "part-0.parquet")


# --- again ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", sorted(IN_ERASURE))
def test_a_killed_erasure_is_gone_on_with(settings: Settings, shop: Postgres, point: Failpoint) -> None:
    archiving.archive(settings)
    snapshot_of(settings, "night", {})
    history(settings)
    erase = ("fraudstream.erasure", CUSTOMER, "--reason", "asked", "--yes", "--wait", "10")
    run_until(f"{point}=kill", *erase)
    again = run_here(*erase)
    assert again.returncode == 0, again.stderr
    assert "Certificate of erasure" in again.stdout
    assert traces(dump(settings)) == set()
    for folder in (settings.paths.archive, settings.paths.snapshots, settings.paths.mapped):
        assert traces_in(folder) == set()
    assert one(shop, "SELECT count(*), count(finished_at) FROM fraud.erasures") == (1, 1)
    assert rotation.compare_next(shop, whole=True).differences == []


def test_until_the_stream_has_forgotten_the_profile_the_certificate_stays_open(
    settings: Settings, shop: Postgres
) -> None:
    shop.execute("UPDATE fraud.stream_offsets SET next_offset = 0, first_offset = 0 WHERE topic = 'browse-events'")
    with pytest.raises(ErasureError, match="hasn't read browse-events"):
        forget(settings, wait_seconds=0.0)
    assert traces(dump(settings)) == set()
    writer_passes = "UPDATE fraud.stream_offsets SET next_offset = 1000000, first_offset = 1000000"
    shop.execute(f"{writer_passes} WHERE topic = 'browse-events'")
    assert forget(settings).finished_at is not None
    assert one(shop, "SELECT count(*) FROM fraud.erasures") == 1


def test_a_restored_backup_brings_nobody_back(settings: Settings, shop: Postgres, tmp_path: Path) -> None:
    shop.execute("INSERT INTO fraud.customers VALUES (%s, now(), 'Bern', 'CH', 1, 1, 30)", (CUSTOMER,))
    archiving.archive(settings)
    back_up(settings, tmp_path / "backup", lambda _: None)
    forget(settings)
    restore_tables_and_archive(settings, tmp_path / "backup")
    assert traces(dump(settings))
    assert traces_in(settings.paths.archive)
    found = erasing.again(settings)
    assert (found["scored_transactions"], found["archive transactions"]) == (2, 2)
    assert traces(dump(settings)) == set()
    assert traces_in(settings.paths.archive) == set()
    assert erasing.again(settings) == {}
    with known_of(settings) as erased:
        assert erased.until(CUSTOMER) is not None
        assert erased.until(OTHER) is None


def known_of(settings: Settings) -> Any:
    from contextlib import contextmanager

    from fraudstream.storage.connect import session

    @contextmanager
    def reading() -> Iterator[known.Erased]:
        with session(settings, settings.postgres.reader, name="test") as connection:
            yield known.newest(connection)[1]

    return reading()


def test_the_shop_s_list_of_customers_brings_nobody_back(settings: Settings, shop: Postgres) -> None:
    products = pa.table({"product_id": ["p"], "name": ["P"], "category": ["c"], "list_price": [1.0]})
    people = pa.table(
        {
            "customer_id": [CUSTOMER, OTHER],
            "registered_at": pa.array([NOW, NOW], pa.timestamp("ms", "UTC")),
            "home_city": ["Bern"] * 2,
            "home_country": ["CH"] * 2,
            "home_latitude": [1.0] * 2,
            "home_longitude": [1.0] * 2,
            "age_years": [30] * 2,
        }
    )
    forget(settings)
    publish(shop, people, products)
    assert shop.execute("SELECT customer_id FROM fraud.customers").fetchall() == [(OTHER,)]
