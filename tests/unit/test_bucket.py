"""What happens to a bucket's messages: every one is accounted for, duplicates move nothing, order doesn't matter."""

from collections import Counter
from datetime import timedelta

from fraudstream.contracts import DeadLetterReason, Topic, iso_milliseconds
from spark_jobs.bucket import Bucket, Kind, Limits, Message
from tests.messages import NOW, as_bytes, browse_event, label, transaction

LIMITS = Limits(timedelta(minutes=5), allowed_lateness_ms=60_000)


def message(topic: Topic, offset: int, content: dict[str, object], delay_s: float = 0) -> Message:
    key = content["transaction_id"] if topic is Topic.TRANSACTION_LABELS else content["customer_id"]
    ingest_ms = int((NOW.timestamp() + delay_s) * 1000)
    return Message(topic.value, 0, offset, ingest_ms, str(key).encode(), as_bytes(content))


def browse(offset: int, seconds: float, **fields: object) -> Message:
    at = iso_milliseconds(NOW + timedelta(seconds=seconds))
    return message(Topic.BROWSE_EVENTS, offset, browse_event(event_id=f"e-{offset}", event_time=at, **fields))


def purchase(offset: int, seconds: float, **fields: object) -> Message:
    at = iso_milliseconds(NOW + timedelta(seconds=seconds))
    fields = {"transaction_id": f"tx-{offset}"} | fields
    return message(Topic.TRANSACTIONS, offset, transaction(event_time=at, **fields))


def test_every_message_is_accounted_for() -> None:
    messages = [
        *(browse(offset, offset) for offset in range(5)),
        purchase(0, 10),
        message(Topic.TRANSACTION_LABELS, 0, label()),
        message(Topic.TRANSACTIONS, 1, transaction(amount="much")),
        purchase(2, 10, transaction_id="tx-0"),
    ]
    counts: Counter[str] = Counter()
    for outcome in Bucket(None).handle(messages, LIMITS):
        counts[outcome.kind] += outcome.messages
    assert counts == {
        Kind.BROWSE: 5,
        Kind.TRANSACTION: 1,
        Kind.LABEL: 1,
        Kind.DEAD: 1,
        Kind.DUPLICATE: 1,
    }


def test_a_refused_message_keeps_its_bytes_and_gets_its_reason() -> None:
    bad = message(Topic.TRANSACTIONS, 7, transaction(amount="much"))
    (outcome,) = Bucket(None).handle([bad], LIMITS)
    assert (outcome.kind, outcome.offset, outcome.value) == (Kind.DEAD, 7, bad.value)
    assert outcome.reason == DeadLetterReason.NUMBER_AS_TEXT
    assert "amount" in str(outcome.detail)


def test_features_do_not_depend_on_the_order_of_arrival() -> None:
    messages = [browse(0, 0), browse(1, 3, event_type="begin_checkout"), purchase(0, 10), purchase(1, 40, amount=9.0)]

    def features(arrived: list[Message]) -> dict[object, object]:
        outcomes = Bucket(None).handle(arrived, LIMITS)
        return {o.offset: repr(o.features) for o in outcomes if o.kind == Kind.TRANSACTION}

    assert features(messages) == features(messages[::-1])


def test_a_duplicate_leaves_the_state_as_it_was() -> None:
    first, repeated = Bucket(None), Bucket(None)
    list(first.handle([browse(0, 0), purchase(0, 5)], LIMITS))
    list(repeated.handle([browse(0, 0), purchase(0, 5), purchase(1, 6, transaction_id="tx-0", amount=999.0)], LIMITS))
    assert repeated.encode() == first.encode()


def test_state_carries_over_to_the_next_batch() -> None:
    whole, second = Bucket(None), Bucket(None)
    expected = [o.features for o in whole.handle([purchase(0, 0), purchase(1, 60)], LIMITS)][1]
    list(second.handle([purchase(0, 0)], LIMITS))
    (outcome,) = Bucket(second.encode()).handle([purchase(1, 60)], LIMITS)
    assert repr(outcome.features) == repr(expected)


def test_customers_of_a_bucket_do_not_share_history() -> None:
    alone, among = Bucket(None), Bucket(None)
    (expected,) = alone.handle([purchase(0, 60)], LIMITS)
    outcomes = list(among.handle([purchase(1, 0, customer_id="c-2"), purchase(0, 60)], LIMITS))
    assert repr(outcomes[1].features) == repr(expected.features)


def test_late_is_a_mark_on_a_scored_transaction() -> None:
    on_time = message(Topic.TRANSACTIONS, 0, transaction(transaction_id="tx-0"), delay_s=59)
    late = message(Topic.TRANSACTIONS, 1, transaction(transaction_id="tx-1"), delay_s=61)
    assert [o.late for o in Bucket(None).handle([on_time, late], LIMITS)] == [False, True]
