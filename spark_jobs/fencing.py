"""The fence between drivers: a new one becomes the query's only driver, or refuses, saying what to do."""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg.rows import class_row

from fraudstream.errors import ReplacedError
from fraudstream.ledger import currency
from fraudstream.ledger.gaps import KafkaView, breaks, positions
from fraudstream.messages.contracts import INPUT_TOPICS, QUERY
from fraudstream.settings import Settings, StreamSettings
from model.features.profile import READABLE_LAYOUTS, STATE_LAYOUT
from spark_jobs.checkpoint import OffsetRange, Offsets, Planned
from spark_jobs.ledger import LedgerError, Postgres

_STREAM = "FRAUDSTREAM_STREAM__"
_REBUILD = "Start the state anew, from Kafka and the ledger: ./fraudctl rebuild"


class FencedError(ReplacedError):
    """Another driver has taken over; this one must not write any more."""


@dataclass(frozen=True)
class Driver:
    """A place in the order of drivers: a later start has a greater epoch. And where its checkpoint began."""

    epoch: int
    name: str
    first_batch: int = 0  # the ledger's id of the checkpoint's batch 0
    resume: Offsets = field(default_factory=dict)  # what lies before was accounted for with an earlier checkpoint
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    repeats: int | None = None  # the batch, by the ledger's id, that an earlier driver planned and didn't commit
    begins: Offsets = field(default_factory=dict)  # of a shop's own topics, which lie in Kafka before the books do

    def clip(self, ranges: Sequence[OffsetRange]) -> list[OffsetRange]:
        """The parts of `ranges` that aren't accounted for already; empty ones stay among them."""
        clipped = []
        for r in ranges:
            place = r.topic, r.partition
            resume = max(self.resume.get(place, r.start), self.begins.get(place, r.start))
            clipped.append(OffsetRange(r.topic, r.partition, max(r.start, resume), max(r.until, resume)))
        return clipped


@dataclass(frozen=True)
class Known:
    """The query as Postgres knows it: a row of fraud.stream_queries."""

    generation: int = 0
    first_batch: int = 0
    resume_offsets: dict[str, dict[str, int]] | None = None
    state_buckets: int | None = None
    state_partitions: int | None = None
    state_layout: int | None = None
    crashed_batch: int | None = None
    crashes: int = 0
    shop_currency: str | None = None
    snapshot: str | None = None

    @property
    def resume(self) -> Offsets:
        """`resume_offsets` by topic and partition."""
        return {
            (topic, int(partition)): offset
            for topic, by_partition in (self.resume_offsets or {}).items()
            for partition, offset in by_partition.items()
        }


def known_query(connection: Postgres) -> Known:
    """The query's row, locked until the transaction's end; or the defaults of one that never ran."""
    with connection.cursor(row_factory=class_row(Known)) as cursor:
        cursor.execute(
            """
            SELECT generation, first_batch, resume_offsets, state_buckets, state_partitions, state_layout,
                crashed_batch, crashes, shop_currency, snapshot
            FROM fraud.stream_queries WHERE query = %s FOR UPDATE
            """,
            (QUERY,),
        )
        return cursor.fetchone() or Known()


@dataclass(frozen=True)
class Found:
    """The checkpoint that a driver found, to go on from."""

    generation: int  # another one in the ledger means that a rebuild came in between
    planned: Planned | None  # its newest micro-batch
    location: str  # for messages


def become_driver(connection: Postgres, settings: Settings, found: Found, look: Callable[[], KafkaView]) -> Driver:
    """Makes this process the query's driver, so that an older one's next commit is refused.

    Args:
        connection: as the writer.
        settings: those that are fixed with checkpoint or tables, and how often a batch may be repeated.
        found: the checkpoint.
        look: asks Kafka; called while an older driver can't commit, so that the ledger isn't ahead of the answer.

    Raises LedgerError when ledger, checkpoint and Kafka don't go on from each other, when a fixed setting has changed,
    or when the next batch ended its driver again and again.
    """
    planned, stream = found.planned, settings.stream
    with connection.transaction():
        known = known_query(connection)
        if known.generation != found.generation:
            raise LedgerError("the state was set to be rebuilt while this driver started: start it again")
        _check_currency(settings.shop.currency, known)
        view = look()
        committed = _last_committed(connection, known)
        _check_history(known, committed, planned, found.location)
        _check_kafka(connection, view)
        if planned is not None:
            _check_fixed(stream, known)
        next_batch = known.first_batch if planned is None else known.first_batch + planned.batch_id
        repeats = next_batch if planned is not None and next_batch > committed else None
        _check_crashes(connection, stream, known, repeats)
        _remember_partitions(connection, view)
        return _register(connection, settings, known, view, repeats)


def beat(connection: Postgres, driver: Driver) -> None:
    """Proves that this driver still holds the fence, and locks it until the transaction's end. Raises FencedError."""
    updated = connection.execute(
        "UPDATE fraud.stream_queries SET heartbeat_at = now() WHERE query = %s AND epoch = %s", (QUERY, driver.epoch)
    )
    if updated.rowcount == 1:
        return
    holder = connection.execute("SELECT driver, epoch FROM fraud.stream_queries WHERE query = %s", (QUERY,)).fetchone()
    newer = f"{holder[0]} (epoch {holder[1]})" if holder else "nobody"
    raise FencedError(f"this driver, {driver.name} (epoch {driver.epoch}), was replaced by {newer}; it stops")


def begin_repeat(connection: Postgres, driver: Driver) -> None:
    """Notes that this driver now runs the batch that an earlier one left; still noted when this one dies of it, too."""
    connection.execute(
        """
        UPDATE fraud.stream_queries
        SET crashed_batch = %s, crashes = CASE crashed_batch WHEN %s THEN crashes + 1 ELSE 1 END
        WHERE query = %s AND epoch = %s
        """,
        (driver.repeats, driver.repeats, QUERY, driver.epoch),
    )


def _last_committed(connection: Postgres, known: Known) -> int:
    """The newest batch of this generation in the ledger; the one before its first when there is none."""
    row = connection.execute("SELECT max(batch_id) FROM fraud.stream_batches WHERE query = %s", (QUERY,)).fetchone()
    before = known.first_batch - 1
    return before if row is None or row[0] is None else max(row[0], before)


def _check_history(known: Known, committed: int, planned: Planned | None, location: str) -> None:
    """Checks that the checkpoint is level with the ledger, or one batch ahead that Spark is going to repeat.

    Spark plans a batch, then we commit it, then Spark notes its end. The ledger of a generation without batches knows
    nothing of a batch 0 that held no messages.
    """
    is_new = committed < known.first_batch
    if planned is None:
        if is_new:
            return
        raise LedgerError(
            f"the ledger in Postgres ends at batch {committed}, but there is no checkpoint in {location}: going on "
            f"without it would score with empty profiles. Restore the checkpoint; or: {_REBUILD}"
        )
    newest = known.first_batch + planned.batch_id
    if not 0 <= newest - committed <= is_new + (not planned.ended):
        raise LedgerError(
            f"the checkpoint in {location} is at batch {newest}, but the ledger in Postgres at {committed}: one of "
            f"them was restored from another time. Restore the matching one; or: {_REBUILD}"
        )


def _check_kafka(connection: Postgres, view: KafkaView) -> None:
    found = [f.text for f in breaks(positions(connection), view)]
    if found:
        raise LedgerError(f"Kafka doesn't hold what the ledger goes on from: {'; '.join(found)}. {_REBUILD}")


def _check_fixed(stream: StreamSettings, known: Known) -> None:
    for name, fixed, wanted, right in (
        (f"{_STREAM}STATE_BUCKETS", known.state_buckets, stream.state_buckets, {stream.state_buckets}),
        (f"{_STREAM}STATE_PARTITIONS", known.state_partitions, stream.state_partitions, {stream.state_partitions}),
        ("the layout of profiles in this release", known.state_layout, STATE_LAYOUT, READABLE_LAYOUTS),
    ):
        if fixed not in {None, *right}:
            raise LedgerError(
                f"{name} is {wanted}, but the checkpoint was made with {fixed}. Go back to {fixed}; or: {_REBUILD}"
            )


def _check_currency(wanted: str, known: Known) -> None:
    """What was stored before currencies were told apart was taken for the shop currency, whichever that is."""
    if problem := currency.problem(known.shop_currency, wanted):
        raise LedgerError(problem)


def _check_crashes(connection: Postgres, stream: StreamSettings, known: Known, repeats: int | None) -> None:
    if repeats is None or known.crashed_batch != repeats or known.crashes < stream.max_batch_repeats:
        return
    raise LedgerError(
        f"batch {repeats} was left unfinished by {known.crashes + 1} drivers, one after the other, and isn't tried "
        "again. The end of their log says why. Give it more memory (FRAUDSTREAM_STREAM__DRIVER_MEMORY_MB), or mend "
        "what failed, then: ./fraudctl retry. Or cut it into smaller ones "
        f"(FRAUDSTREAM_STREAM__MAX_OFFSETS_PER_TRIGGER is {stream.max_offsets_per_trigger}), then: ./fraudctl rebuild"
    )


def _remember_partitions(connection: Postgres, view: KafkaView) -> None:
    """Begins the books of partitions that were never read, so that what they lose unread is noticed; and keeps ids."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO fraud.stream_offsets AS o (query, topic, kafka_partition, first_offset, next_offset, topic_id,
                scored, browse_events, labels, dead_lettered, duplicates, skipped)
            VALUES (%s, %s, %s, %s, %s, %s, 0, 0, 0, 0, 0, 0)
            ON CONFLICT (query, topic, kafka_partition) DO UPDATE SET topic_id = excluded.topic_id
            WHERE o.topic_id IS NULL
            """,
            [
                (QUERY, topic, partition, begin, begin, view.ids.get(topic))
                for (topic, partition), begin in sorted(view.begins.items())
            ],
        )


def _register(connection: Postgres, settings: Settings, known: Known, view: KafkaView, repeats: int | None) -> Driver:
    stream, name = settings.stream, f"{socket.gethostname()}:{os.getpid()}"
    row = connection.execute(
        """
        INSERT INTO fraud.stream_queries AS q
            (query, epoch, driver, state_buckets, state_partitions, state_layout, shop_currency, started_at,
            heartbeat_at)
        VALUES (%s, 1, %s, %s, %s, %s, %s, now(), now())
        ON CONFLICT (query) DO UPDATE SET epoch = q.epoch + 1, driver = excluded.driver,
            state_buckets = excluded.state_buckets, state_partitions = excluded.state_partitions,
            state_layout = excluded.state_layout, shop_currency = excluded.shop_currency,
            started_at = now(), heartbeat_at = now()
        RETURNING epoch
        """,
        (QUERY, name, stream.state_buckets, stream.state_partitions, STATE_LAYOUT, settings.shop.currency),
    ).fetchone()
    assert row is not None  # noqa: S101 (RETURNING always returns)
    begins = {p.place: p.first_offset for p in positions(connection) if p.topic not in INPUT_TOPICS}
    return Driver(row[0], name, known.first_batch, known.resume, view.ids, repeats, begins)
