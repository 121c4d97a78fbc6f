"""The simulated shop's past: what an empty platform begins with, and that no other one is touched."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fraudstream.files import delete
from fraudstream.settings import Settings
from fraudstream.simulator.history import write_history
from fraudstream.snapshots.folders import newest_usable
from model.features.profile import PROFILE_LAYOUT
from model.past.simulated import begin_with_simulated_past, plan
from model.training.history import HistoryFolder
from tests.integration.test_sink import one
from tests.streaming import Shop

Postgres = psycopg.Connection[Any]
DAYS = 20

pytestmark = pytest.mark.usefixtures("emptied", "empty_tables")


@pytest.fixture
def small(settings: Settings) -> Iterator[Settings]:
    """The settings of a small shop, on a platform that knows nothing."""
    sizes = {"customers": 300, "products": 200, "past_transactions": 1_500, "past_days": DAYS}
    yield settings.model_copy(update={"producer": settings.producer.model_copy(update=sizes)})
    for folder in (*settings.paths.snapshots.iterdir(), settings.paths.past):
        delete(folder)


def test_an_empty_platform_begins_with_it_once(small: Settings, writer: Postgres) -> None:
    begun = datetime.now(UTC)
    assert begin_with_simulated_past(small, 2)
    first, last, transactions = writer.execute(
        "SELECT first_event, last_event, transactions FROM fraud.history_imports"
    ).fetchall()[0]
    assert transactions == 1_500
    assert begun - timedelta(days=DAYS) < first < last < datetime.now(UTC)
    assert last > begun - timedelta(hours=2)
    snapshot, _ = newest_usable(small.paths.snapshots, PROFILE_LAYOUT, small.shop.currency)
    assert snapshot and one(writer, "SELECT snapshot FROM fraud.stream_queries") == snapshot.name
    assert one(writer, "SELECT frauds > 0 FROM fraud.entity_risk_versions")
    files = {file: file.stat().st_mtime_ns for file in small.paths.past.rglob("*")}
    assert not begin_with_simulated_past(small, 2)
    assert {file: file.stat().st_mtime_ns for file in small.paths.past.rglob("*")} == files


def test_the_live_shops_customers_are_those_of_the_past(small: Settings, tmp_path: Path) -> None:
    """Of those who come back, nearly everyone comes with a device that they were seen with."""
    planned = plan(small, datetime.now(UTC))
    devices = []
    for name, span in (("past", planned), ("live", replace(planned, days=1, end=planned.end + timedelta(days=1)))):
        list(write_history(tmp_path / name, span, 1))
        bought = HistoryFolder(tmp_path / name).table("transactions")
        devices.append(set(zip(bought["customer_id"], bought["device_id"], strict=True)))
    past, live = devices
    known = {customer for customer, _ in past}
    back = {pair for pair in live if pair[0] in known}
    assert len(back) > 200
    assert len(back & past) / len(back) > 0.5


def test_without_a_wish_for_a_past_there_is_none(small: Settings, writer: Postgres) -> None:
    producer = small.producer.model_copy(update={"past_days": 0})
    assert not begin_with_simulated_past(small.model_copy(update={"producer": producer}), 1)
    assert one(writer, "SELECT count(*) FROM fraud.history_imports") == 0


def test_a_shop_whose_messages_wait_in_kafka_gets_no_other_past(small: Settings, writer: Postgres) -> None:
    Shop(small).buy("first")
    assert not begin_with_simulated_past(small, 1)
    assert one(writer, "SELECT count(*) FROM fraud.history_imports") == 0
    assert list(small.paths.past.glob("*")) == []
