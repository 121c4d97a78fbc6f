"""The messages of one bucket of customers in a micro-batch. Pure Python: no Spark, IO or clock."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from fraudstream.erasure.known import NOBODY, Erased
from fraudstream.messages.contracts import BrowseEvent, Event, Label, Topic, Transaction
from fraudstream.messages.mapping.fields import Kind as MappedKind
from fraudstream.messages.mapping.live import event_of
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.refusal import Rejection
from fraudstream.messages.validation import decode
from fraudstream.static_data.currencies import CurrencyRates
from model.features.profile import decode_profile, encode_profile
from model.features.remembered import Remembered, Retention
from spark_jobs import change_log
from spark_jobs.change_log import Change, Encoded, Head, Stored, decode_stored, encode_stored
from spark_jobs.cutting import without_surplus


class Kind(StrEnum):
    """Fates of a message."""

    TRANSACTION = "transaction"
    LABEL = "label"
    DEAD = "dead"
    DUPLICATE = "duplicate"
    BROWSE = "browse"  # an accounting row: `messages` browse events of a partition were used
    SKIPPED = "skipped"  # the same: `messages` of a partition were left out by their mapping


#: Fates of messages whose key is their customer: those of our own form have none.
_OF_CUSTOMERS = frozenset({None, MappedKind.TRANSACTION.value, MappedKind.BROWSE.value})


class Message(NamedTuple):
    """A Kafka message. `ingest_ms` is when Kafka appended it (`validation.bounded`), milliseconds since the epoch.

    One of a shop's own form has a `fate`, as its mapping gave it: `fraudstream.messages.mapping.live.Mapped`.
    """

    topic: str
    partition: int
    offset: int
    ingest_ms: int
    key: bytes | None
    value: bytes | None
    size: int | None = None  # bytes of the value as it was sent; None: as it is here
    cut: bool = False  # whether the value isn't what was sent any more
    fate: str | None = None
    detail: str | None = None


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
    exchange_rate: float | None  # that of `features`, which the row keeps; NaN: none known
    reason: str | None
    detail: str | None
    cut: bool | None
    messages: int


class Limits(NamedTuple):
    """Limits that the settings give `Bucket.handle`. All times are against Kafka's clock."""

    max_future: timedelta
    allowed_lateness_ms: int
    customer_retention_ms: int  # how long a silent customer is remembered,
    visitor_retention_ms: int  # and one who never bought
    ingest_skew_ms: int  # between messages of two partitions that are read at the same time, at most
    resume: Mapping[tuple[str, int], int]  # messages before these offsets change profiles, and nothing comes out

    @property
    def retention(self) -> Retention:
        """For how long profiles are remembered."""
        return Retention(self.customer_retention_ms, self.visitor_retention_ms)

    def clock_ms(self, known_ms: int, ingest_ms: int) -> int:
        """A bucket's clock after a message: it goes back when it is further ahead than Kafka's partitions can be.

        Then it was never right; and one that is behind only forgets silent customers later.
        """
        return ingest_ms if known_ms - ingest_ms > self.ingest_skew_ms else max(known_ms, ingest_ms)

    def is_accounted(self, message: Message) -> bool:
        """True for a message that was accounted for with an earlier checkpoint."""
        return message.offset < self.resume.get((message.topic, message.partition), 0)


class Bucket:
    """The profiles of a bucket's customers, encoded until a message touches them.

    A customer who was silent for longer than the retention is a new one when the next message comes, and may leave the
    state once no message from before that can still come: what a profile is doesn't depend on when it is swept out.
    """

    def __init__(
        self, known: Encoded, clock_ms: int, limits: Limits, rates: CurrencyRates, erased: Erased = NOBODY
    ) -> None:
        """`known` are the customers before these messages; `clock_ms` is the bucket's clock (`Head`)."""
        self._clock_ms = clock_ms
        self._known = known
        self._rates = rates
        self._open: dict[str, Remembered] = {}  # the profiles that a message touched
        self._erased = erased
        self._erased_until: dict[bytes, int | None] = {}  # by key, so that each is hashed once
        self._forgotten: set[str] = set()
        self._limits = limits
        self._retention = limits.retention

    def change_of(self, head: Head) -> Change:
        """The change of the bucket's log by the messages handled so far; `head` is that of the customers known."""
        changed = {
            customer: encode_stored(Stored(kept.expires_ms, encode_profile(kept.profile)))
            for customer, kept in self._open.items()
        }
        forgotten = frozenset(self._forgotten)
        return change_log.change(head, self._known, changed, self._clock_ms, self.is_over, forgotten)

    def is_over(self, stored: bytes) -> bool:
        """True for a customer, encoded, whom no message can meet any more."""
        return decode_stored(stored).expires_ms < self._clock_ms - self._limits.ingest_skew_ms

    def handle(self, messages: Iterable[Message]) -> Iterator[Outcome]:
        """Validates the messages, applies them to the profiles as they arrived, and yields what became of each.

        By Kafka's time and not by their own: where micro-batches end must not matter. What arrived within the same
        millisecond goes by its own time.

        Browse events, and what a mapping leaves out, leave only a count for each topic partition. Messages before
        `Limits.resume` leave nothing.

        What an erased customer had sent before is refused without a trace of it; a key of theirs without a value is the
        control message (`fraudstream.erasure.control`): there the profile is forgotten.
        """
        used: Counter[tuple[Kind, str, int]] = Counter()
        events: list[tuple[int, float, int, int, int, str, Message, BrowseEvent | Transaction | None]] = []
        limits = self._limits
        for message in messages:
            topic, partition, offset, ingest_ms, key, value, size, _, fate, detail = message
            if self._erased and self._is_of_erased(message):
                self._clock_ms = limits.clock_ms(self._clock_ms, ingest_ms)
                if value is None:
                    events.append((ingest_ms, 0.0, False, partition, offset, topic, message, None))
                if not limits.is_accounted(message):
                    yield _of_erased(message)
                continue
            event: Event | Rejection | None
            if fate is None:
                event = decode(topic, key, value, ingest_ms, limits.max_future, size)
            else:
                event = event_of(fate, value, detail)
            self._clock_ms = limits.clock_ms(self._clock_ms, ingest_ms)
            message = without_surplus(message, event)
            if isinstance(event, BrowseEvent | Transaction):
                is_transaction = isinstance(event, Transaction)
                at = event.event_time.timestamp()
                events.append((ingest_ms, at, is_transaction, partition, offset, topic, message, event))
            elif not limits.is_accounted(message):
                if event is None:
                    used[Kind.SKIPPED, topic, partition] += 1
                else:
                    yield _refused_or_label(message, event)
        events.sort(key=lambda entry: entry[:6])
        for _, at, _, partition, _, topic, message, arrived in events:
            if arrived is None:
                self._forget((message.key or b"").decode())
                continue
            kept = self._customer(arrived.customer_id)
            if isinstance(arrived, BrowseEvent):
                kept.browse(arrived, message.ingest_ms, self._retention)
                used[Kind.BROWSE, topic, partition] += not limits.is_accounted(message)
            else:
                rate = self._rates.at(arrived.currency, int(at * 1000))
                features = kept.purchase(arrived, rate, message.ingest_ms, self._retention)
                if not limits.is_accounted(message):
                    late = message.ingest_ms - at * 1000 > limits.allowed_lateness_ms
                    yield _to_score(message, features, late, rate)
        for (kind, topic, partition), count in used.items():
            if count:
                yield _count(kind, topic, partition, count)

    def _customer(self, customer_id: str) -> Remembered:
        kept = self._open.get(customer_id)
        if kept is None:
            encoded = None if customer_id in self._forgotten else self._known.get(customer_id)
            stored = decode_stored(encoded) if encoded else None
            kept = Remembered(decode_profile(stored.profile), stored.expires_ms) if stored else Remembered()
            self._open[customer_id] = kept
        return kept

    def _forget(self, customer_id: str) -> None:
        self._open.pop(customer_id, None)
        self._forgotten.add(customer_id)

    def _is_of_erased(self, message: Message) -> bool:
        """True for what an erased customer had sent before the erasure, and for the control message of it."""
        key = message.key
        if key is None or message.topic == Topic.TRANSACTION_LABELS or message.fate not in _OF_CUSTOMERS:
            return False
        if key not in self._erased_until:
            self._erased_until[key] = self._erased.until(key.decode(errors="replace"))
        until = self._erased_until[key]
        return until is not None and (message.value is None or message.ingest_ms <= until)


def _of_erased(message: Message) -> Outcome:
    """The account of such a message, without its key and value."""
    return _outcome(
        Kind.DEAD,
        message._replace(key=None, value=None, cut=True),
        reason=DeadLetterReason.CUSTOMER_ERASED.value,
        detail="its customer was erased",
    )


def _refused_or_label(message: Message, event: Rejection | Label) -> Outcome:
    if isinstance(event, Rejection):
        return _outcome(Kind.DEAD, message, reason=event.reason.value, detail=event.detail)
    return _outcome(Kind.LABEL, message)


def _to_score(message: Message, features: list[float] | None, late: bool, rate: float) -> Outcome:
    if features is None:
        return _outcome(Kind.DUPLICATE, message)
    return _outcome(Kind.TRANSACTION, message, late=late, features=features, exchange_rate=rate)


def _outcome(
    kind: Kind,
    message: Message,
    *,
    late: bool | None = None,
    features: list[float] | None = None,
    exchange_rate: float | None = None,
    reason: str | None = None,
    detail: str | None = None,
) -> Outcome:
    topic, partition, offset, ingest_ms, key, value, _, cut, _, _ = message
    return Outcome(
        kind.value, topic, partition, offset, ingest_ms, late, key, value,
        features, exchange_rate, reason, detail, cut, messages=1,
    )  # fmt: skip


def _count(kind: Kind, topic: str, partition: int, count: int) -> Outcome:
    return Outcome(kind.value, topic, partition, None, None, None, None, None, None, None, None, None, None, count)
