"""Publishes to Kafka what a batch committed to Postgres: read back from there, so that a repeat is byte-identical."""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as KafkaMessage
from psycopg import Cursor
from psycopg.rows import dict_row

from fraudstream.errors import FraudstreamError
from fraudstream.failpoints import Failpoint, reach
from fraudstream.kafka.errors import connected, delivery_failure
from fraudstream.messages.contracts import (
    SCHEMA_VERSION,
    AlertBell,
    Item,
    ProductWindow,
    Reason,
    ScoredTransaction,
    Topic,
    encode,
)
from fraudstream.messages.features import (
    FEATURE_RECORD_VERSION,
    FeatureRecord,
    encode_features,
    microseconds,
    place_number,
    unpack_block,
)
from fraudstream.settings.kafka import KafkaSettings, Role
from spark_jobs import ledger, statements
from spark_jobs.bell import Bell
from spark_jobs.ledger import Postgres

log = logging.getLogger(__name__)

FLUSH_SECONDS = 30
SALES_WINDOW = timedelta(seconds=30)


class PublishError(FraudstreamError):
    """Kafka didn't acknowledge what was committed; it is published again at the next start."""


class _Outgoing(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, str | bytes | None]]


class Publisher:
    """An idempotent producer for the output topics, and the one who rings the bell."""

    def __init__(self, kafka: KafkaSettings, burst_alerts: int) -> None:
        self._kafka = kafka.as_role(Role.STREAM)
        config = self._kafka.producer_config() | {"linger.ms": 5, "compression.type": "lz4"}
        self._producer: Producer = connected(Producer, self._kafka, config)
        self._failures: list[str] = []
        self._bell = Bell(burst_alerts)

    def publish(self, connection: Postgres, batch_id: int) -> None:
        """Sends all that batch `batch_id` committed and notes it in the ledger. Raises PublishError."""
        reach(Failpoint.BEFORE_PUBLISH)
        alerts = 0
        for message in _messages(connection, batch_id):
            alerts += message.topic == Topic.FRAUD_ALERTS
            self._produce(message)
            reach(Failpoint.DURING_PUBLISH)
        left = self._producer.flush(FLUSH_SECONDS)
        if self._failures or left:
            cause = self._failures[0] if self._failures else f"no acknowledgement within {FLUSH_SECONDS} s"
            raise PublishError(f"{left + len(self._failures)} messages of batch {batch_id} weren't published: {cause}")
        reach(Failpoint.BEFORE_MARK_PUBLISHED)
        ledger.mark_published(connection, batch_id)
        reach(Failpoint.AFTER_MARK_PUBLISHED)
        if recent := self._bell.rings(alerts, time.monotonic()):
            self._ring(recent)

    def _ring(self, alerts: int) -> None:
        """Rings without waiting: a bell that nobody hears costs minutes, and no batch."""
        bell = AlertBell(schema_version=SCHEMA_VERSION, rung_at=datetime.now(UTC), alerts=alerts)
        try:
            self._producer.produce(Topic.FRAUD_ALERT_BELL, encode(bell), on_delivery=self._on_rung)
        except BufferError:
            log.warning("the bell for %s alerts can't be rung: the producer's queue is full", alerts)
        self._producer.poll(0)

    def _on_rung(self, error: KafkaError | None, message: KafkaMessage) -> None:
        if error is not None:
            log.warning("%s", delivery_failure(self._kafka, error, message.topic()))

    def _produce(self, message: _Outgoing) -> None:
        while True:
            try:
                self._producer.produce(
                    message.topic, message.value, message.key, headers=message.headers, on_delivery=self._on_delivery
                )
            except BufferError:
                self._producer.poll(1)  # the local queue is full: let deliveries make room
            else:
                return

    def _on_delivery(self, error: KafkaError | None, message: KafkaMessage) -> None:
        if error is not None:
            self._failures.append(delivery_failure(self._kafka, error, message.topic()))


def publish_left_over(connection: Postgres, publisher: Publisher) -> None:
    """Publishes what earlier drivers committed and didn't publish. Raises PublishError."""
    for batch_id in ledger.unpublished(connection):
        log.info("publishing batch %s, which an earlier driver committed", batch_id)
        publisher.publish(connection, batch_id)


def _messages(connection: Postgres, batch_id: int) -> Iterator[_Outgoing]:
    with connection.cursor(row_factory=dict_row) as cursor:
        kept = _kept_features(cursor, batch_id)
        for row in cursor.execute(statements.SCORED_TO_PUBLISH, (batch_id,)).fetchall():
            topic, partition, offset = (row.pop(name) for name in ("topic", "kafka_partition", "kafka_offset"))
            challenger = {name: row.pop(name) for name in ("challenger_version", "challenger_score")}
            alerted = row.pop("alerted")
            value = encode(_scored(row))
            key = row["transaction_id"].encode()
            yield _Outgoing(Topic.SCORED_TRANSACTIONS, key, value, [])
            if kept:
                value_of = kept.message((topic, partition, offset), batch_id, row | challenger)
                yield _Outgoing(Topic.TRANSACTION_FEATURES, key, value_of, [])
            if alerted:
                yield _Outgoing(Topic.FRAUD_ALERTS, key, value, [])
        for row in cursor.execute(statements.SALES_TO_PUBLISH, (batch_id,)).fetchall():
            yield _Outgoing(Topic.TOP_PRODUCTS, row["product_id"].encode(), encode(_window(row)), [])
        for row in cursor.execute(statements.DEAD_LETTERS_TO_PUBLISH, (batch_id,)).fetchall():
            yield _Outgoing(Topic.DEAD_LETTERS, row["key"], row["payload"], _dead_letter_headers(row))


class _KeptFeatures(NamedTuple):
    """The features that a batch was scored with, packed, by place (`place_number`) and offset."""

    feature_set: str
    topics: list[str]
    by_place: dict[tuple[int, int], bytes]

    def message(self, place: tuple[str, int, int], batch_id: int, row: dict[str, Any]) -> bytes:
        return encode_features(
            FeatureRecord(
                version=FEATURE_RECORD_VERSION,
                transaction_id=row["transaction_id"],
                event_time_us=microseconds(row["event_time"]),
                batch_id=batch_id,
                model_version=row["model_version"],
                policy_version=None if row["policy_version"] is None else str(row["policy_version"]),
                feature_set=self.feature_set,
                fraud_score=row["fraud_score"],
                challenger_version=row["challenger_version"],
                challenger_score=row["challenger_score"],
                features=self.by_place[place_number(self.topics, *place[:2]), place[2]],
            )
        )


def _kept_features(cursor: Cursor[dict[str, Any]], batch_id: int) -> _KeptFeatures | None:
    """What the batch kept; None for one without transactions, or whose features Kafka has acknowledged."""
    row = cursor.execute(statements.FEATURES_TO_PUBLISH, (batch_id,), binary=True).fetchone()
    return _KeptFeatures(row["feature_set"], row["topics"], unpack_block(row["features"])) if row else None


def _scored(row: dict[str, Any]) -> ScoredTransaction:
    names = (*statements.MONEY_FIELDS, "shop_amount")
    money = {name: None if row[name] is None else float(row[name]) for name in names}
    items = msgspec.convert(row["items"], list[Item] | None)
    reasons = msgspec.convert(row["reasons"], list[Reason])
    return ScoredTransaction(**(row | money | {"items": items, "reasons": reasons}), schema_version=SCHEMA_VERSION)


def _window(row: dict[str, Any]) -> ProductWindow:
    return ProductWindow(
        schema_version=SCHEMA_VERSION,
        product_id=row["product_id"],
        window_start=row["window_start"],
        window_end=row["window_start"] + SALES_WINDOW,
        units=row["units"],
        revenue=float(row["revenue"]),
    )


def _dead_letter_headers(row: dict[str, Any]) -> list[tuple[str, str | bytes | None]]:
    fields = {
        "reason": row["reason"],
        "source_topic": row["topic"],
        "partition": str(row["kafka_partition"]),
        "offset": str(row["kafka_offset"]),
    }
    return [(name, value.encode()) for name, value in fields.items()]
