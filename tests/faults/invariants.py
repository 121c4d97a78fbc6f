"""What must hold at every moment, whatever died: checked on a running stream against one snapshot of Postgres.

Each violation names the id, or the topic partition and offset, or the batch. Everything is expected to be there: what
retention has deleted is a violation (`tests.faults.rollups`), and nothing that a test sends is that old.
"""

import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any

import msgspec
import psycopg
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.messages.contracts import INPUT_TOPICS, Topic, Transaction
from fraudstream.messages.validation import decode
from fraudstream.settings import Settings
from fraudstream.storage.connect import connect
from tests.faults import rollups

KAFKA_SECONDS = 60.0
#: Of each kind so many are named; the others are counted.
NAMED = 5

Place = tuple[str, int]
Database = psycopg.Connection[tuple[Any, ...]]


@dataclass
class Found:
    """How much was looked at, and what is wrong with it."""

    messages: int
    transactions: int  # distinct ids stored
    duplicates: int  # rows beyond these
    lost: int  # valid ids that Kafka held below the ledger's position, and that aren't stored
    violations: list[str]


@dataclass(frozen=True)
class _Stored:
    """A row of fraud.scored_transactions."""

    place: tuple[int, int]
    batch_id: int
    is_fraud: bool
    score: float


@dataclass
class _Snapshot:
    positions: dict[Place, tuple[int, int]]  # first_offset, next_offset
    batches: list[tuple[Any, ...]]
    rows: list[tuple[str, _Stored]]
    refused: set[tuple[str, int, int]]
    unpublished: set[int]


def inspect(settings: Settings, acknowledged: Collection[str], *, drained: bool = False) -> Found:
    """Checks everything. `acknowledged` are ids that the shop was told are in Kafka, before this call.

    `drained` says that nothing is on its way: all that Kafka holds must be accounted for and published.
    """
    with connect(settings, settings.postgres.writer) as database:
        database.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        snapshot = _read(database)
        wrong = list(rollups.differences(database))
    stored = dict(snapshot.rows)
    begins = kafka_offsets.earliest(settings.kafka, INPUT_TOPICS, KAFKA_SECONDS)
    ends = kafka_offsets.latest(settings.kafka, INPUT_TOPICS, KAFKA_SECONDS)
    sent = _transactions(settings, {place: until for place, (_, until) in snapshot.positions.items()})
    published = _contents(settings, Topic.SCORED_TRANSACTIONS)
    wrong += _first(_unaccounted(snapshot, begins, ends, drained), "positions")
    wrong += _first(_ledger(snapshot), "ledger")
    wrong += _first(_repeated(snapshot.rows), "rows")
    wrong += _first(_missing(snapshot, stored, sent), "messages")
    wrong += _first(_unacknowledged(stored, sent, acknowledged, drained), "acknowledged ids")
    wrong += _first(_published(snapshot, stored, published), "published")
    if drained:
        alerted = _contents(settings, Topic.FRAUD_ALERTS)
        flagged = {name for name, row in stored.items() if row.is_fraud}
        wrong += _first((f"alert {name}: not in Kafka" for name in flagged - alerted.keys()), "alerts")
        wrong += _first((f"alert {name}: in Kafka, and not flagged" for name in alerted.keys() - flagged), "alerts")
    read = sum(until - first for first, until in snapshot.positions.values())
    lost = {name for place, name in sent.items() if name and (Topic.TRANSACTIONS.value, *place) not in snapshot.refused}
    lost |= set(acknowledged) if drained else set()
    return Found(read, len(stored), len(snapshot.rows) - len(stored), len(lost - stored.keys()), wrong)


def assert_all_hold(settings: Settings, acknowledged: Collection[str], *, drained: bool = False) -> Found:
    """Raises AssertionError with every violation (`inspect`)."""
    found = inspect(settings, acknowledged, drained=drained)
    assert not found.violations, "\n".join(found.violations)
    return found


def _read(database: Database) -> _Snapshot:
    def rows(query: str) -> list[tuple[Any, ...]]:
        return database.execute(query).fetchall()

    positions = rows("SELECT topic, kafka_partition, first_offset, next_offset FROM fraud.stream_offsets")
    stored = rows(
        "SELECT transaction_id, kafka_partition, kafka_offset, batch_id, is_fraud, fraud_score "
        "FROM fraud.scored_transactions"
    )
    return _Snapshot(
        positions={(topic, partition): (first, until) for topic, partition, first, until in positions},
        batches=rows(
            "SELECT batch_id, offsets, scored, labels, dead_lettered, scored + browse_events + labels + dead_lettered "
            "+ duplicates FROM fraud.stream_batches ORDER BY epoch, batch_id"
        ),
        rows=[(name, _Stored((p, offset), batch, fraud, score)) for name, p, offset, batch, fraud, score in stored],
        refused={(t, p, o) for t, p, o in rows("SELECT topic, kafka_partition, kafka_offset FROM fraud.dead_letters")},
        unpublished={b for (b,) in rows("SELECT batch_id FROM fraud.stream_batches WHERE published_at IS NULL")},
    )


def _unaccounted(snapshot: _Snapshot, begins: dict[Place, int], ends: dict[Place, int], drained: bool) -> Iterator[str]:
    for (topic, partition), end in ends.items():
        begin = begins[topic, partition]
        first, until = snapshot.positions.get((topic, partition), (begin, begin))
        if first != begin:
            yield f"{topic}/{partition}: the ledger begins at offset {first}, Kafka at {begin}"
        if until > end or (drained and until < end):
            yield f"{topic}/{partition}: Kafka ends at offset {end}, the ledger is at {until}"


def _ledger(snapshot: _Snapshot) -> Iterator[str]:
    """Ranges that follow each other without gap or overlap, and rows as many as the ledger says."""
    at: dict[Place, int] = {place: first for place, (first, _) in snapshot.positions.items()}
    scored: dict[int, int] = {}
    for _, row in snapshot.rows:
        scored[row.batch_id] = scored.get(row.batch_id, 0) + 1
    for batch_id, offsets, said_scored, _, _, accounted in snapshot.batches:
        messages = 0
        for topic, partitions in offsets.items():
            for number, (start, until) in partitions.items():
                place = (topic, int(number))
                if start != at.get(place, start):
                    yield f"batch {batch_id}: {topic}/{number} starts at offset {start}, not at {at[place]}"
                at[place] = until
                messages += until - start
        if messages != accounted:
            yield f"batch {batch_id}: {messages} offsets, {accounted} accounted for"
        if scored.get(batch_id, 0) != said_scored:
            yield f"batch {batch_id}: {scored.get(batch_id, 0)} rows, the ledger says {said_scored}"
    for (topic, partition), (_, until) in snapshot.positions.items():
        if at[topic, partition] != until:
            yield f"{topic}/{partition}: the batches end at offset {at[topic, partition]}, the position is {until}"


def _repeated(rows: Iterable[tuple[str, _Stored]]) -> Iterator[str]:
    seen: dict[str, tuple[int, int]] = {}
    for name, row in rows:
        if name in seen:
            yield f"id {name}: stored twice, from offsets {seen[name]} and {row.place}"
        seen[name] = row.place


def _missing(snapshot: _Snapshot, stored: dict[str, _Stored], sent: dict[tuple[int, int], str | None]) -> Iterator[str]:
    topic = Topic.TRANSACTIONS.value
    for place, name in sent.items():
        if (topic, *place) in snapshot.refused:
            continue
        if name is None:
            yield f"{topic}/{place[0]} offset {place[1]}: invalid, and no dead letter"
        elif name not in stored:
            yield f"{topic}/{place[0]} offset {place[1]}: id {name} isn't stored"
    for name, row in stored.items():
        if sent.get(row.place) != name:
            yield f"id {name}: stored from {topic}/{row.place[0]} offset {row.place[1]}, where it isn't"


def _unacknowledged(
    stored: dict[str, _Stored], sent: dict[tuple[int, int], str | None], acknowledged: Collection[str], drained: bool
) -> Iterator[str]:
    """What the shop was told to be in Kafka is there, and stored once all is drained."""
    if drained:
        known = set(sent.values())
        for name in acknowledged:
            if name not in known:
                yield f"id {name}: acknowledged, and not in Kafka"
            elif name not in stored:
                yield f"id {name}: acknowledged, and not stored"


def _published(snapshot: _Snapshot, stored: dict[str, _Stored], published: dict[str, set[bytes]]) -> Iterator[str]:
    for name, contents in published.items():
        if len(contents) > 1:
            yield f"id {name}: {len(contents)} different contents in {Topic.SCORED_TRANSACTIONS}"
        score = msgspec.json.decode(next(iter(contents)))["fraud_score"]
        if name in stored and score != stored[name].score:
            yield f"id {name}: published with score {score}, stored with {stored[name].score}"
    for name, row in stored.items():
        if name not in published and row.batch_id not in snapshot.unpublished:
            yield f"id {name}: not in {Topic.SCORED_TRANSACTIONS}, though batch {row.batch_id} counts as published"


def _transactions(settings: Settings, until: dict[Place, int]) -> dict[tuple[int, int], str | None]:
    """The id at each partition and offset below `until`; None for a message that the contract refuses."""
    found: dict[tuple[int, int], str | None] = {}
    ahead = timedelta(seconds=settings.stream.max_future_seconds)
    for message in messages(settings, Topic.TRANSACTIONS):
        partition, offset = message.partition() or 0, message.offset() or 0
        if offset < until.get((Topic.TRANSACTIONS.value, partition), 0):
            event = decode(Topic.TRANSACTIONS, message.key(), message.value(), message.timestamp()[1], ahead)
            found[partition, offset] = event.transaction_id if isinstance(event, Transaction) else None
    return found


def _contents(settings: Settings, topic: Topic) -> dict[str, set[bytes]]:
    found: dict[str, set[bytes]] = {}
    for message in messages(settings, topic):
        found.setdefault((message.key() or b"").decode(), set()).add(message.value() or b"")
    return found


def messages(settings: Settings, topic: Topic) -> Iterator[Message]:
    """Everything that `topic` holds now. Raises TimeoutError when it can't be read."""
    begins = kafka_offsets.earliest(settings.kafka, [topic], KAFKA_SECONDS)
    ends = kafka_offsets.latest(settings.kafka, [topic], KAFKA_SECONDS)
    held = {place: end - begins[place] for place, end in ends.items() if end > begins[place]}
    consumer = Consumer(settings.kafka.client_config() | {"group.id": "invariants", "enable.auto.commit": False})
    consumer.assign([TopicPartition(*place, begins[place]) for place in held])
    left = sum(held.values())
    deadline = time.monotonic() + KAFKA_SECONDS
    try:
        while left > 0:
            batch = consumer.consume(5_000, 0.2)
            for message in batch:
                error = message.error()
                if error is None and (message.offset() or 0) < ends[topic, message.partition() or 0]:
                    left -= 1
                    yield message
                elif error is not None and not error.retriable() and error.code() != KafkaError._TRANSPORT:
                    raise TimeoutError(f"{topic}: {error.str()}")
            if batch:
                deadline = time.monotonic() + KAFKA_SECONDS
            elif time.monotonic() > deadline:
                raise TimeoutError(f"{topic}: {left} of {sum(held.values())} messages can't be read")
    finally:
        consumer.close()


def _first(violations: Iterator[str], kind: str) -> list[str]:
    """The first few of a kind, and how many more there are."""
    named = list(islice(violations, NAMED))
    more = sum(1 for _ in violations)
    return named + ([f"{kind}: and {more} more like these"] if more else [])
