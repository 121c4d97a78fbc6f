"""What happens to the messages of one bucket of customers in a micro-batch. Pure Python: no Spark, IO or clock."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

import msgspec

from fraudstream.contracts import BrowseEvent, Event, Label, Topic, Transaction
from fraudstream.refusal import Rejection
from fraudstream.validation import decode
from model.features import Profile, decode_profile, encode_profile, observe_browse, observe_transaction


class Kind(StrEnum):
    """What became of a message."""

    TRANSACTION = "transaction"
    LABEL = "label"
    DEAD = "dead"
    DUPLICATE = "duplicate"
    BROWSE = "browse"  # an accounting row: `count` browse events of a partition were used


class Message(NamedTuple):
    """A Kafka message. `ingest_ms` is when Kafka appended it, in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    ingest_ms: int
    key: bytes | None
    value: bytes | None


class Outcome(NamedTuple):
    """A row that leaves a bucket; `spark_jobs.schemas.OUTCOME` is its Spark schema."""

    kind: str
    topic: str
    partition: int
    offset: int | None
    ingest_ms: int | None
    late: bool | None
    key: bytes | None
    value: bytes | None
    features: list[float] | None
    reason: str | None
    detail: str | None
    messages: int


class Limits(NamedTuple):
    """Which times are refused, and which are late; both against Kafka's clock."""

    max_future: timedelta
    allowed_lateness_ms: int


_decode_bucket = msgspec.msgpack.Decoder(dict[str, bytes]).decode
_encode_bucket = msgspec.msgpack.Encoder().encode


class Bucket:
    """The profiles of a bucket's customers, kept encoded until a message touches them."""

    def __init__(self, state: bytes | None) -> None:
        self._encoded: dict[str, bytes] = _decode_bucket(state) if state else {}
        self._touched: dict[str, Profile] = {}

    def encode(self) -> bytes:
        """The bucket's state after the messages handled so far."""
        self._encoded.update((customer, encode_profile(profile)) for customer, profile in self._touched.items())
        return _encode_bucket(self._encoded)

    def handle(self, messages: Iterable[Message], limits: Limits) -> Iterator[Outcome]:
        """Validates the messages, applies them to the profiles by event time, and yields what became of each.

        Browse events leave only a count for each topic partition.
        """
        used: Counter[int] = Counter()
        events: list[tuple[float, int, int, int, Message, Event]] = []
        for message in messages:
            event = decode(message.topic, message.key, message.value, message.ingest_ms, limits.max_future)
            if isinstance(event, Rejection):
                yield _outcome(Kind.DEAD, message, reason=event.reason.value, detail=event.detail)
            elif isinstance(event, Label):
                yield _outcome(Kind.LABEL, message)
            else:
                is_transaction = isinstance(event, Transaction)
                at = event.event_time.timestamp()
                events.append((at, is_transaction, message.partition, message.offset, message, event))
        events.sort(key=lambda entry: entry[:4])
        for at, _, partition, _, message, event in events:
            if isinstance(event, BrowseEvent):
                observe_browse(self._profile(event.customer_id), event)
                used[partition] += 1
            elif isinstance(event, Transaction):
                yield self._score_later(event, message, message.ingest_ms - at * 1000 > limits.allowed_lateness_ms)
        for partition, count in used.items():
            yield _browse_count(partition, count)

    def _score_later(self, transaction: Transaction, message: Message, late: bool) -> Outcome:
        features = observe_transaction(self._profile(transaction.customer_id), transaction)
        if features is None:
            return _outcome(Kind.DUPLICATE, message)
        return _outcome(Kind.TRANSACTION, message, late=late, features=features)

    def _profile(self, customer_id: str) -> Profile:
        profile = self._touched.get(customer_id)
        if profile is None:
            encoded = self._encoded.get(customer_id)
            profile = decode_profile(encoded) if encoded else Profile()
            self._touched[customer_id] = profile
        return profile


def _outcome(
    kind: Kind,
    message: Message,
    *,
    late: bool | None = None,
    features: list[float] | None = None,
    reason: str | None = None,
    detail: str | None = None,
) -> Outcome:
    topic, partition, offset, ingest_ms, key, value = message
    return Outcome(
        kind.value, topic, partition, offset, ingest_ms, late, key, value, features, reason, detail, messages=1
    )


def _browse_count(partition: int, count: int) -> Outcome:
    topic = Topic.BROWSE_EVENTS.value
    return Outcome(Kind.BROWSE.value, topic, partition, None, None, None, None, None, None, None, None, count)
