"""The simulated shop's past: what an empty platform begins with, and that no other one is touched."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fraudstream.files import delete
from fraudstream.local.up import Up
from fraudstream.settings import ENV_PREFIX, Settings, load_settings
from fraudstream.simulator.flow import EVENTS_PER_PURCHASE
from fraudstream.simulator.history import write_history
from fraudstream.snapshots.folders import newest_usable
from model.durations import DAY_SECONDS
from model.features.profile import PROFILE_LAYOUT
from model.past.simulated import begin_with_simulated_past, plan
from model.training.history import HistoryFolder
from tests.integration.test_sink import one
from tests.streaming import Shop

Postgres = psycopg.Connection[Any]
DAYS, TRANSACTIONS = 20, 1_500

pytestmark = pytest.mark.usefixtures("emptied", "empty_tables")


@pytest.fixture
def small(settings: Settings) -> Iterator[Settings]:
    """The settings of a small shop, in which little happens, on a platform that knows nothing."""
    rate = TRANSACTIONS * EVENTS_PER_PURCHASE / (DAYS * DAY_SECONDS)
    sizes = {"customers": 300, "products": 200, "past_days": DAYS, "events_per_second": rate}
    yield settings.model_copy(update={"producer": settings.producer.model_copy(update=sizes)})
    for folder in (*settings.paths.snapshots.iterdir(), settings.paths.past):
        delete(folder)


def test_an_empty_platform_begins_with_it_once(small: Settings, writer: Postgres) -> None:
    begun = datetime.now(UTC)
    assert begin_with_simulated_past(small, 2)
    first, last, transactions = writer.execute(
        "SELECT first_event, last_event, transactions FROM fraud.history_imports"
    ).fetchall()[0]
    assert 0.98 * TRANSACTIONS < transactions <= TRANSACTIONS
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


@pytest.fixture
def as_it_comes(small: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings as a user's `up` finds them, but for fewer transactions of a shop that isn't as busy."""
    monkeypatch.setenv(f"{ENV_PREFIX}PRODUCER__PAST_TRANSACTIONS", str(TRANSACTIONS))
    monkeypatch.setenv(f"{ENV_PREFIX}PRODUCER__EVENTS_PER_SECOND", "3")
    return load_settings()


def test_up_begins_with_a_past_at_the_live_shops_pace(as_it_comes: Settings, writer: Postgres) -> None:
    told: list[str] = []
    Up(as_it_comes).past(told.append)
    assert told
    transactions, seconds, ago = writer.execute(
        "SELECT transactions, extract(epoch FROM last_event - first_event)::float,"
        " extract(epoch FROM imported_at - last_event)::float FROM fraud.history_imports"
    ).fetchall()[0]
    live = as_it_comes.producer.events_per_second / EVENTS_PER_PURCHASE
    assert 0.9 < transactions / seconds / live < 1.1
    assert ago < 120
    told.clear()
    Up(as_it_comes).past(told.append)
    assert not told, "it has one"


def test_up_makes_no_past_where_the_shop_may_be_yours(as_it_comes: Settings, writer: Postgres, tmp_path: Path) -> None:
    yours = as_it_comes.kafka.model_copy(update={"bootstrap_servers": as_it_comes.kafka.bootstrap})
    without = as_it_comes.producer.model_copy(update={"enabled": False})
    for own in ({"kafka": yours}, {"sources": tmp_path}, {"producer": without}):
        Up(as_it_comes.model_copy(update=own)).past(lambda _: pytest.fail("a past is made"))
    assert one(writer, "SELECT count(*) FROM fraud.history_imports") == 0


def test_without_a_wish_for_a_past_there_is_none(small: Settings, writer: Postgres) -> None:
    producer = small.producer.model_copy(update={"past_days": 0})
    assert not begin_with_simulated_past(small.model_copy(update={"producer": producer}), 1)
    assert one(writer, "SELECT count(*) FROM fraud.history_imports") == 0


def test_a_shop_whose_messages_wait_in_kafka_gets_no_other_past(small: Settings, writer: Postgres) -> None:
    Shop(small).buy("first")
    assert not begin_with_simulated_past(small, 1)
    assert one(writer, "SELECT count(*) FROM fraud.history_imports") == 0
    assert list(small.paths.past.glob("*")) == []
