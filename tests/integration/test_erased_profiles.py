"""The running stream forgets an erased customer, and neither a rebuild nor a lost database brings the customer back."""

import shutil
import signal
from typing import Any

import pyarrow.parquet as pq
import pytest

from fraudstream.erasure import erase as erasing
from fraudstream.erasure.erase import Request
from fraudstream.files import delete
from fraudstream.ledger.reconciliation import reconcile
from fraudstream.local.rebuild import run_rebuild
from fraudstream.messages.contracts import Topic
from fraudstream.settings import Settings
from fraudstream.snapshots.folders import newest_first
from model.serving.registry import ensure_pretrained
from testbed.isolation import truncate_tables
from tests.integration.test_rebuild import FIRST, SECOND, buy, checkpoint_of, is_level, snapshot
from tests.streaming import Postgres, Shop, StartJob, count, read_all, scores

ERASED = "SELECT count(*) FROM fraud.dead_letters WHERE reason = 'CUSTOMER_ERASED' AND key IS NULL AND payload IS NULL"


@pytest.fixture(scope="module")
def settings(emptied: Settings) -> Settings:
    """The suite's servers, emptied."""
    return emptied


@pytest.fixture(scope="module")
def shop(settings: Settings, database: Postgres) -> Shop:
    ensure_pretrained(database, settings.paths.models)
    return Shop(settings)


def customers_in_state(job: Any, settings: Settings, database: Postgres) -> set[str]:
    job.until(lambda: is_level(settings, database), "Spark's note of the end")
    for old in newest_first(settings.paths.snapshots):
        delete(old.folder)
    made = snapshot(settings)
    parts = [pq.read_table(made.folder / part.name) for part in made.manifest.parts]
    return {name for part in parts for name in part["customer_id"].to_pylist()}


def test_the_stream_forgets_and_a_rebuild_or_a_lost_database_brings_nobody_back(
    start_job: StartJob, settings: Settings, shop: Shop, database: Postgres
) -> None:
    job = start_job()
    buy(shop, "old-1", "forgotten", FIRST)
    buy(shop, "other-1", "other", FIRST)
    read_all(job, shop, database)
    done = erasing.erase(settings, Request("forgotten", "asked", "ann", "bob"), 60)
    assert done.finished_at is not None
    shop.sent[Topic.BROWSE_EVENTS] += 1  # the control message
    assert count(database, ERASED) == 1
    assert customers_in_state(job, settings, database) == {"other"}
    job.end(signal.SIGTERM)

    shutil.rmtree(checkpoint_of(settings, database))
    run_rebuild(settings, yes=True, accept_loss=False, from_kafka=True, tell=lambda _: None)
    job = start_job()
    buy(shop, "back-2", "forgotten", SECOND)
    buy(shop, "new-2", "new", SECOND)
    read_all(job, shop, database)
    found = scores(database)
    assert found["tx-back-2"] == found["tx-new-2"], "who comes back is a new customer"
    assert "tx-old-1" not in found
    assert count(database, ERASED) == 1
    assert reconcile(settings, whole=True).differences == []
    assert job.end(signal.SIGTERM) == 0

    truncate_tables(settings)
    delete(settings.paths.stream)
    erasing.again(settings)
    job = start_job()
    read_all(job, shop, database)
    assert count(database, ERASED) == 4, "two views, a purchase and the control message"
    assert set(scores(database)) == {"tx-other-1", "tx-back-2", "tx-new-2"}
    assert reconcile(settings, whole=True).differences == []
    assert job.end(signal.SIGTERM) == 0
