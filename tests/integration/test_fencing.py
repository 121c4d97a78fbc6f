"""Whether a driver may start: ledger, checkpoint, Kafka and settings must go on from each other. On a real Postgres."""

import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg.types.json import Jsonb

from fraudstream.files import write_atomically
from fraudstream.ledger import rebuild
from fraudstream.ledger.gaps import KafkaView
from fraudstream.ledger.rebuild import RebuildError
from fraudstream.local.up import Up, UpError
from fraudstream.messages.contracts import QUERY
from fraudstream.settings import Settings, ShopSettings
from fraudstream.snapshots.folders import Snapshot, newest_usable
from fraudstream.snapshots.manifest import MANIFEST, Moment, dump
from fraudstream.snapshots.writing import write
from model.features.profile import PROFILE_LAYOUT
from spark_jobs import fencing
from spark_jobs.checkpoint import OffsetRange, Planned
from spark_jobs.fencing import Driver, Found
from spark_jobs.ledger import LedgerError

Postgres = psycopg.Connection[Any]
PLACE = ("transactions", 0)
#: Kafka holds offsets 0 to 9 of the one partition.
VIEW = KafkaView({PLACE: 0}, {PLACE: 10}, {"transactions": "topic-1"})

pytestmark = pytest.mark.usefixtures("empty_tables")


def start(
    writer: Postgres,
    settings: Settings,
    planned: int | None = None,
    *,
    ended: bool = False,
    view: KafkaView = VIEW,
    generation: int = 0,
) -> Driver:
    newest = None if planned is None else Planned(planned, ended)
    return fencing.become_driver(writer, settings, Found(generation, newest, "the checkpoint"), lambda: view)


def read(writer: Postgres, batch_id: int, until: int) -> None:
    """What a committed batch leaves: all messages so far were browse events of one partition."""
    writer.execute(
        "INSERT INTO fraud.stream_batches (query, batch_id, epoch, offsets, scored, late, flagged, browse_events, "
        "labels, dead_lettered, duplicates, model_version, static_version, started_at, duration_ms, latencies_ms) "
        "VALUES (%s, %s, 1, %s, 0, 0, 0, 0, 0, 0, 0, 'm', 1, now(), 1, '{}')",
        (QUERY, batch_id, Jsonb({})),
    )
    writer.execute(
        "INSERT INTO fraud.stream_offsets (query, topic, kafka_partition, first_offset, next_offset, scored, "
        "browse_events, labels, dead_lettered, duplicates, topic_id) "
        "VALUES (%s, %s, %s, 0, %s, 0, %s, 0, 0, 0, 'topic-1') ON CONFLICT (query, topic, kafka_partition) "
        "DO UPDATE SET next_offset = excluded.next_offset, browse_events = excluded.browse_events",
        (QUERY, *PLACE, until, until),
    )


@pytest.fixture
def running(writer: Postgres, settings: Settings) -> Postgres:
    """A query that committed batches 0 to 3, up to offset 5."""
    start(writer, settings)
    for batch_id, until in enumerate((1, 2, 4, 5)):
        read(writer, batch_id, until)
    return writer


@pytest.mark.parametrize("planned", [3, 4])
def test_a_checkpoint_level_with_the_ledger_or_one_ahead_goes_on(
    running: Postgres, settings: Settings, planned: int
) -> None:
    assert start(running, settings, planned).repeats == (4 if planned == 4 else None)


@pytest.mark.parametrize(
    ("planned", "message"),
    [
        (None, "ends at batch 3, but there is no checkpoint in the checkpoint"),
        (5, "is at batch 5, but the ledger in Postgres at 3: one of them was restored from another time"),
        (2, "is at batch 2, but the ledger in Postgres at 3"),
    ],
)
def test_a_lost_or_restored_half_is_refused(
    running: Postgres, settings: Settings, planned: int | None, message: str
) -> None:
    with pytest.raises(LedgerError, match=rf"{message}.*\./fraudctl rebuild"):
        start(running, settings, planned)


def test_a_batch_that_ended_and_is_missing_in_the_ledger_is_refused(running: Postgres, settings: Settings) -> None:
    assert start(running, settings, 3, ended=True).repeats is None
    with pytest.raises(LedgerError, match="is at batch 4, but the ledger in Postgres at 3: one of them was restored"):
        start(running, settings, 4, ended=True)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (KafkaView({}, {}, {}), "transactions/0 is gone from Kafka; the ledger is at offset 5"),
        (KafkaView({PLACE: 0}, {PLACE: 4}, {}), "ends at offset 4, but the ledger is at 5: the topic was made anew"),
        (KafkaView({PLACE: 0}, {PLACE: 9}, {"transactions": "topic-2"}), "has the id topic-2, but the ledger read to"),
        (KafkaView({PLACE: 7}, {PLACE: 10}, VIEW.ids), "begins at offset 7: 5 to 6 expired before they were read"),
    ],
)
def test_what_kafka_lost_is_refused(running: Postgres, settings: Settings, view: KafkaView, message: str) -> None:
    with pytest.raises(LedgerError, match=rf"{message}.*\./fraudctl rebuild"):
        start(running, settings, 3, view=view)


def test_what_expired_in_a_partition_that_was_never_read_is_refused(running: Postgres, settings: Settings) -> None:
    quiet = ("transactions", 1)
    known = KafkaView(VIEW.begins | {quiet: 0}, VIEW.ends | {quiet: 0}, VIEW.ids)
    start(running, settings, 3, view=known)
    later = KafkaView(VIEW.begins | {quiet: 3}, VIEW.ends | {quiet: 3}, VIEW.ids)
    with pytest.raises(LedgerError, match="transactions/1 begins at offset 3: 0 to 2 expired before they were read"):
        start(running, settings, 3, view=later)


@pytest.mark.parametrize("name", ["state_buckets", "state_partitions"])
def test_what_is_fixed_with_the_checkpoint_is_refused(running: Postgres, settings: Settings, name: str) -> None:
    stream = settings.stream.model_copy(update={name: getattr(settings.stream, name) + 1})
    changed = settings.model_copy(update={"stream": stream})
    with pytest.raises(LedgerError, match=f"FRAUDSTREAM_STREAM__{name.upper()} is"):
        fencing.become_driver(running, changed, Found(0, Planned(3, ended=False), "the checkpoint"), lambda: VIEW)


def test_another_shop_currency_is_refused_with_a_new_checkpoint_too(running: Postgres, settings: Settings) -> None:
    yen = settings.model_copy(update={"shop": ShopSettings(currency="JPY")})
    told = "FRAUDSTREAM_SHOP__CURRENCY is JPY, but all sums in Postgres are in EUR. Go back to EUR"
    for planned in (3, None):
        with pytest.raises(LedgerError, match=told):
            start(running, yen, planned)
    with pytest.raises(UpError, match=told):
        Up(yen).schema(lambda _: None)
    running.execute("UPDATE fraud.stream_queries SET shop_currency = NULL")  # as a release before left it
    start(running, yen, 3)
    with pytest.raises(LedgerError, match="is EUR, but all sums in Postgres are in JPY"):
        start(running, settings, 3)


def test_another_layout_of_the_state_is_refused(running: Postgres, settings: Settings) -> None:
    running.execute("UPDATE fraud.stream_queries SET state_layout = 1")
    with pytest.raises(LedgerError, match="layout of profiles"):
        start(running, settings, 3)


def test_a_batch_that_ends_driver_after_driver_is_given_up_until_somebody_says_so(
    running: Postgres, settings: Settings
) -> None:
    for _ in range(settings.stream.max_batch_repeats):
        start(running, settings, 4)  # ended before it came to the batch: doesn't count
        fencing.begin_repeat(running, start(running, settings, 4))
    with pytest.raises(LedgerError, match=r"batch 4 was left unfinished by 3 drivers.*\./fraudctl retry"):
        start(running, settings, 4)
    rebuild.forget_crashes(running, QUERY)
    assert start(running, settings, 4).repeats == 4


def test_a_batch_that_was_committed_in_the_end_is_forgotten(running: Postgres, settings: Settings) -> None:
    fencing.begin_repeat(running, start(running, settings, 4))
    read(running, 4, 6)
    for _ in range(settings.stream.max_batch_repeats):
        fencing.begin_repeat(running, start(running, settings, 5))
    with pytest.raises(LedgerError, match="batch 5"):
        start(running, settings, 5)


def test_a_rebuild_begins_a_new_checkpoint_behind_the_ledger(running: Postgres, settings: Settings) -> None:
    old = start(running, settings, 3)
    what = rebuild.plan(running, VIEW)
    assert (what.reread, what.forgotten, what.exact) == (5, 0, True)
    generation = rebuild.apply(running, QUERY, what)
    assert abs(generation - time.time()) < 60
    with pytest.raises(LedgerError, match="set to be rebuilt while this driver started"):
        start(running, settings, 3)
    driver = start(running, settings, generation=generation)
    assert (driver.first_batch, driver.resume) == (4, {PLACE: 5})
    assert driver.epoch > old.epoch + 1
    planned = [OffsetRange(*PLACE, start=0, until=3), OffsetRange(*PLACE, start=3, until=8)]
    assert driver.clip(planned) == [OffsetRange(*PLACE, 5, 5), OffsetRange(*PLACE, 5, 8)]
    # its own first batches
    assert start(running, settings, 0, generation=generation).repeats == 4
    read(running, 4, 5)
    assert start(running, settings, 1, generation=generation).repeats == 5
    assert rebuild.apply(running, QUERY, rebuild.plan(running, VIEW)) > generation


def test_a_rebuild_without_all_of_the_past_says_how_much_is_forgotten(running: Postgres, settings: Settings) -> None:
    what = rebuild.plan(running, KafkaView({PLACE: 2}, {PLACE: 10}, VIEW.ids))
    assert (what.reread, what.forgotten, what.breaks, what.exact) == (3, 2, [], False)


def test_a_rebuild_begins_with_the_newest_snapshot_that_the_ledger_has_reached(
    running: Postgres, settings: Settings, tmp_path: Path
) -> None:
    old = snapshot(tmp_path, "old", at=3, made_at="2026-11-26T00:00:00Z")
    snapshot(tmp_path, "new", at=6, made_at="2026-11-27T00:00:00Z")
    expired = KafkaView({PLACE: 2}, {PLACE: 10}, VIEW.ids)
    find = partial(newest_usable, tmp_path, PROFILE_LAYOUT, "EUR")
    what = rebuild.plan(running, expired, find)
    assert what.snapshot == old
    assert [str(skipped) for skipped in what.skipped] == [
        "new is newer than the ledger: it has messages of transactions/0 until offset 6, which are scored from 5 on"
    ]
    assert (what.reread, what.forgotten, what.exact) == (2, 0, True)
    generation = rebuild.apply(running, QUERY, what)
    with running.transaction():
        assert fencing.known_query(running).snapshot == "old"
    assert start(running, settings, view=expired, generation=generation).resume == {PLACE: 5}
    # Its own state began with that snapshot, too.
    assert rebuild.plan(running, expired, find).exact
    without = rebuild.plan(running, VIEW)
    assert (without.forgotten, without.forsaken, without.exact) == (0, "old", False)
    rebuild.apply(running, QUERY, without)
    assert rebuild.plan(running, VIEW).exact
    assert not rebuild.plan(running, VIEW, find).exact, "the profiles of now were made without it"


def test_a_snapshot_of_topics_that_are_gone_is_begun_with_but_is_not_exact(running: Postgres, tmp_path: Path) -> None:
    snapshot(tmp_path, "old", at=3, made_at="2026-11-26T00:00:00Z")
    anew = KafkaView({PLACE: 0}, {PLACE: 0}, {"transactions": "topic-2"})
    what = rebuild.plan(running, anew, partial(newest_usable, tmp_path, PROFILE_LAYOUT, "EUR"))
    assert (what.snapshot is not None, len(what.breaks), what.exact) == (True, 1, False)
    rebuild.apply(running, QUERY, what)
    assert rebuild.plan(running, anew, partial(newest_usable, tmp_path, PROFILE_LAYOUT, "EUR")).exact, "as it is now"


def snapshot(root: Path, name: str, *, at: int, made_at: str) -> Snapshot:
    """A snapshot of generation 0, up to this offset."""
    moment = Moment(
        layout=PROFILE_LAYOUT, made_by=name, shop_currency="EUR", clock_ms=0, generation=0,
        offsets={PLACE[0]: {PLACE[1]: at}}, topic_ids=dict(VIEW.ids),
    )  # fmt: skip
    made = write(root, name, [], moment)
    manifest = msgspec.structs.replace(made.manifest, made_at=datetime.fromisoformat(made_at))
    write_atomically(made.folder / MANIFEST, dump(manifest))
    return Snapshot(made.folder, manifest)


def test_messages_that_expired_unread_are_given_up_by_range(running: Postgres, settings: Settings) -> None:
    view = KafkaView({PLACE: 7}, {PLACE: 10}, VIEW.ids)
    generation = rebuild.apply(running, QUERY, rebuild.plan(running, view))
    lost = running.execute("SELECT topic, kafka_partition, from_offset, until_offset FROM fraud.stream_lost_ranges")
    assert lost.fetchall() == [(*PLACE, 5, 7)]
    moved = running.execute("SELECT next_offset, browse_events, lost FROM fraud.stream_offsets").fetchone()
    assert moved == (7, 5, 2)
    assert start(running, settings, view=view, generation=generation).resume == {PLACE: 7}


def test_a_topic_made_anew_counts_from_0_and_the_old_one_stays_in_the_books(
    running: Postgres, settings: Settings
) -> None:
    dead = (
        "INSERT INTO fraud.dead_letters (topic, kafka_partition, kafka_offset, reason, detail, ingest_time, batch_id) "
        "VALUES ('transactions', 0, 0, 'TOO_LARGE', '', now(), 0)"
    )
    running.execute(dead)
    view = KafkaView({PLACE: 0}, {PLACE: 9}, {"transactions": "topic-2"})
    generation = rebuild.apply(running, QUERY, rebuild.plan(running, view))
    assert start(running, settings, view=view, generation=generation).resume == {}
    running.execute(dead)
    topics = running.execute("SELECT topic FROM fraud.dead_letters ORDER BY 1").fetchall()
    assert topics == [("transactions",), ("transactions@topic-1",)]
    books = running.execute("SELECT topic, next_offset FROM fraud.stream_offsets ORDER BY 1").fetchall()
    assert books == [("transactions", 0), ("transactions@topic-1", 5)]


def test_beside_an_empty_ledger_an_old_checkpoint_is_refused_until_a_rebuild(
    writer: Postgres, settings: Settings
) -> None:
    with pytest.raises(LedgerError, match="restored from another time"):
        start(writer, settings, planned=9)
    generation = rebuild.apply(writer, QUERY, rebuild.plan(writer, VIEW))
    driver = start(writer, settings, generation=generation)
    # The rebuild was the first in the order of drivers, which stops an older one.
    assert (driver.epoch, driver.first_batch, driver.resume) == (2, 0, {})


def test_a_rebuild_is_refused_when_the_stream_went_on(writer: Postgres, settings: Settings) -> None:
    start(writer, settings)
    read(writer, 0, 1)
    what = rebuild.plan(writer, VIEW)
    read(writer, 1, 2)
    with pytest.raises(RebuildError, match="went on meanwhile"):
        rebuild.apply(writer, QUERY, what)
