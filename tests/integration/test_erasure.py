"""A customer is forgotten everywhere, the books stay true, and nothing brings the customer back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudstream.archive import archiving, upkeep
from fraudstream.archive import lake as archive_lake
from fraudstream.erasure import erase as erasing
from fraudstream.erasure import known
from fraudstream.erasure.certificate import ErasureError
from fraudstream.erasure.erase import Request
from fraudstream.failpoints import IN_ERASURE, Failpoint
from fraudstream.ledger import rotation
from fraudstream.local.backup import back_up
from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.settings import Settings
from fraudstream.snapshots.folders import newest_first, verify
from fraudstream.snapshots.manifest import Moment
from fraudstream.snapshots.writing import SCHEMA, write
from fraudstream.static_data.publish import publish
from fraudstream.storage.connect import session
from spark_jobs.bucket import Kind
from spark_jobs.fencing import Driver
from spark_jobs.publisher import Publisher
from tests.commands import run_here, run_until
from tests.erasing import CUSTOMER, OTHER, dump, forget, let_the_stream_pass, traces, traces_in
from tests.integration.test_archive import restore_tables_and_archive, send_label
from tests.integration.test_sink import batch, commit, dead, one, row, scored
from tests.messages import NOW, as_bytes, label, transaction

Postgres = psycopg.Connection[Any]

pytestmark = pytest.mark.usefixtures("empty_tables", "empty_files")


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
        "SELECT sum(units), sum(revenue) FROM fraud.segment_sales",
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
    with session(settings, settings.postgres.reader, name="test") as reader:
        _, erased = known.newest(reader)
    assert erased.until(CUSTOMER) is not None
    assert erased.until(OTHER) is None


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
