"""What happens to a bucket's messages: every one is accounted for, duplicates move nothing, arrival is the order."""

from collections import Counter
from datetime import timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.messages.contracts import Topic, Transaction, iso_milliseconds
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.redaction import CUT_MARGIN, redact
from fraudstream.messages.validation import MAX_MESSAGE_BYTES, TOO_LARGE_KEPT_BYTES
from spark_jobs.bucket import Bucket, Kind, Limits, Message
from spark_jobs.cutting import Room
from spark_jobs.sink import content_hash
from tests.messages import NOW, as_bytes, browse_event, label, transaction

DAY_S = 86_400
LIMITS = Limits(
    timedelta(minutes=5),
    allowed_lateness_ms=60_000,
    customer_retention_ms=10 * DAY_S * 1000,
    visitor_retention_ms=2 * DAY_S * 1000,
    ingest_skew_ms=DAY_S * 1000,
    resume={},
)


def message(topic: Topic, offset: int, content: dict[str, object], delay_s: float = 0) -> Message:
    key = content["transaction_id"] if topic is Topic.TRANSACTION_LABELS else content["customer_id"]
    ingest_ms = int((NOW.timestamp() + delay_s) * 1000)
    return Message(topic.value, 0, offset, ingest_ms, str(key).encode(), as_bytes(content))


def browse(offset: int, seconds: float, delay_s: float = 0, **fields: object) -> Message:
    at = iso_milliseconds(NOW + timedelta(seconds=seconds))
    return message(Topic.BROWSE_EVENTS, offset, browse_event(event_id=f"e-{offset}", event_time=at, **fields), delay_s)


def purchase(offset: int, seconds: float, delay_s: float = 0, **fields: object) -> Message:
    at = iso_milliseconds(NOW + timedelta(seconds=seconds))
    fields = {"transaction_id": f"tx-{offset}"} | fields
    return message(Topic.TRANSACTIONS, offset, transaction(event_time=at, **fields), delay_s)


def test_every_message_is_accounted_for() -> None:
    messages = [
        *(browse(offset, offset) for offset in range(5)),
        purchase(0, 10),
        message(Topic.TRANSACTION_LABELS, 0, label()),
        message(Topic.TRANSACTIONS, 1, transaction(amount="much")),
        purchase(2, 10, transaction_id="tx-0"),
    ]
    counts: Counter[str] = Counter()
    for outcome in Bucket(None, LIMITS).handle(messages):
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
    (outcome,) = Bucket(None, LIMITS).handle([bad])
    assert (outcome.kind, outcome.offset, outcome.value) == (Kind.DEAD, 7, bad.value)
    assert outcome.reason == DeadLetterReason.NUMBER_AS_TEXT
    assert "amount" in str(outcome.detail)


def features(*batches: list[Message]) -> dict[object, object]:
    """The features of each purchase, to the bit."""
    bucket = Bucket(None, LIMITS)
    outcomes = [outcome for messages in batches for outcome in bucket.handle(messages)]
    return {o.offset: repr(o.features) for o in outcomes if o.kind == Kind.TRANSACTION}


def test_features_do_not_depend_on_the_order_in_which_spark_hands_messages_on() -> None:
    messages = [browse(0, 0), browse(1, 3, event_type="begin_checkout"), purchase(0, 10), purchase(1, 40, amount=9.0)]
    assert features(messages) == features(messages[::-1])


def test_a_purchase_does_not_see_what_arrived_after_it_wherever_the_batch_ends() -> None:
    """Though it happened before."""
    bought, belated = purchase(0, 10, delay_s=11), browse(0, 0, delay_s=12)
    assert features([bought, belated]) == features([bought], [belated]) == features([bought])
    arrived = belated._replace(ingest_ms=bought.ingest_ms - 1)
    assert features([bought, arrived]) == features([arrived], [bought]) != features([bought])


def test_a_duplicate_leaves_the_state_as_it_was() -> None:
    first, repeated = Bucket(None, LIMITS), Bucket(None, LIMITS)
    list(first.handle([browse(0, 0), purchase(0, 5)]))
    list(repeated.handle([browse(0, 0), purchase(0, 5), purchase(1, 6, transaction_id="tx-0", amount=999.0)]))
    assert repeated.encode() == first.encode()


def test_state_carries_over_to_the_next_batch() -> None:
    whole, second = Bucket(None, LIMITS), Bucket(None, LIMITS)
    expected = [o.features for o in whole.handle([purchase(0, 0), purchase(1, 60)])][1]
    list(second.handle([purchase(0, 0)]))
    (outcome,) = Bucket(second.encode(), LIMITS).handle([purchase(1, 60)])
    assert repr(outcome.features) == repr(expected)


def test_customers_of_a_bucket_do_not_share_history() -> None:
    alone, among = Bucket(None, LIMITS), Bucket(None, LIMITS)
    (expected,) = alone.handle([purchase(0, 60)])
    outcomes = list(among.handle([purchase(1, 0, customer_id="c-2"), purchase(0, 60)]))
    assert repr(outcomes[1].features) == repr(expected.features)


def test_late_is_a_mark_on_a_scored_transaction() -> None:
    on_time = message(Topic.TRANSACTIONS, 0, transaction(transaction_id="tx-0"), delay_s=59)
    late = message(Topic.TRANSACTIONS, 1, transaction(transaction_id="tx-1"), delay_s=61)
    assert [o.late for o in Bucket(None, LIMITS).handle([on_time, late])] == [False, True]


def on_day(day: float, kind: str, offset: int, **fields: object) -> Message:
    """A message that comes and happens `day` days after NOW."""
    make = {"browse": browse, "purchase": purchase}[kind]
    return make(offset, day * DAY_S, day * DAY_S, **fields)


def test_state_does_not_grow_in_a_compressed_month() -> None:
    """Each day 50 new visitors look and 5 new customers buy: only those within their retention are remembered."""
    state, sizes = None, []
    for day in range(30):
        bucket = Bucket(state, LIMITS)
        messages = [on_day(day, "browse", 100 * day + n, customer_id=f"v-{day}-{n}") for n in range(50)]
        messages += [on_day(day, "purchase", 100 * day + n, customer_id=f"c-{day}-{n}") for n in range(5)]
        assert sum(outcome.messages for outcome in bucket.handle(messages)) == 55
        state = bucket.encode()
        sizes.append(len(bucket))
    # Retention and the skew of a day: visitors of 4 days, customers of 12.
    assert sizes[-1] == 4 * 50 + 12 * 5
    assert max(sizes) == sizes[-1]


def test_a_customer_who_comes_back_after_the_retention_is_new_whether_swept_out_or_not() -> None:
    (expected,) = Bucket(None, LIMITS).handle([on_day(11, "purchase", 1)])
    kept = Bucket(None, LIMITS)
    together = list(kept.handle([on_day(0, "purchase", 0), on_day(11, "purchase", 1)]))
    swept = Bucket(None, LIMITS)
    list(swept.handle([on_day(0, "purchase", 0)]))
    swept = Bucket(swept.encode(), LIMITS)
    list(swept.handle([on_day(12, "browse", 0, customer_id="c-2")]))
    swept = Bucket(swept.encode(), LIMITS)
    assert len(swept) == 1
    (apart,) = swept.handle([on_day(11, "purchase", 1)])
    assert repr(together[1].features) == repr(apart.features) == repr(expected.features)


def test_a_customer_who_comes_back_within_the_retention_is_known() -> None:
    bucket = Bucket(None, LIMITS)
    list(bucket.handle([on_day(0, "purchase", 0)]))
    (outcome,) = Bucket(bucket.encode(), LIMITS).handle([on_day(9, "purchase", 1)])
    (unknown,) = Bucket(None, LIMITS).handle([on_day(9, "purchase", 1)])
    assert repr(outcome.features) != repr(unknown.features)


FAR_AHEAD_MS = 1_795_000_000_000_000  # the year 58852


def test_a_clock_that_was_far_ahead_comes_back_and_expels_nobody() -> None:
    """As in a state from before `spark_jobs.source` bounded times."""
    poisoned, whole = Bucket(None, LIMITS), Bucket(None, LIMITS)
    known = [on_day(0, "purchase", n, customer_id=f"c-{n}") for n in range(5)]
    far = on_day(0, "browse", 9, customer_id="c-0")._replace(ingest_ms=FAR_AHEAD_MS, value=b"{")
    list(poisoned.handle([*known[:4], far, known[4]]))
    list(whole.handle([*known, far._replace(ingest_ms=known[0].ingest_ms)]))
    assert poisoned.encode() == whole.encode()
    assert len(poisoned) == 5


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5))
def test_any_time_is_accounted_for(times_ms: list[int]) -> None:
    bucket = Bucket(None, LIMITS)
    messages = [purchase(n, n)._replace(ingest_ms=at) for n, at in enumerate(times_ms)]
    assert sum(outcome.messages for outcome in bucket.handle(messages)) == len(times_ms)
    Bucket(bucket.encode(), LIMITS)


def test_what_nobody_reads_of_a_large_message_is_not_handed_on() -> None:
    padded = purchase(0, 0, note="x" * 100_000)
    (outcome,) = Bucket(None, LIMITS).handle([padded])
    assert outcome.kind == Kind.TRANSACTION
    assert len(outcome.value or b"") < 1000
    assert outcome.cut
    decoder = msgspec.json.Decoder(Transaction)
    assert content_hash(decoder.decode(outcome.value or b"")) == content_hash(decoder.decode(padded.value or b""))


def test_a_message_that_is_too_large_is_cut_where_it_is_refused() -> None:
    value = b"4111111111111111 " * 60_000
    (outcome,) = Bucket(None, LIMITS).handle([purchase(0, 0)._replace(value=value)])
    beginning = purchase(0, 0)._replace(value=value[: TOO_LARGE_KEPT_BYTES + CUT_MARGIN], size=len(value))
    assert Bucket(None, LIMITS).handle([beginning]).__next__() == outcome
    assert outcome.reason == DeadLetterReason.TOO_LARGE
    assert outcome.detail == f"{len(value)} bytes; at most {MAX_MESSAGE_BYTES}"
    assert (outcome.value, outcome.cut) == (redact(value, TOO_LARGE_KEPT_BYTES), True)


def test_refused_values_beyond_a_tasks_room_are_cut() -> None:
    refused = [purchase(n, 0)._replace(value=b"{" + b" " * 100_000) for n in range(5)]
    room = Room(250_000)
    found = [room.fit(outcome) for outcome in Bucket(None, LIMITS).handle(refused)]
    assert [outcome.cut for outcome in found] == [False, False, True, True, True]
    assert sum(len(outcome.value or b"") for outcome in found) == 2 * 100_001 + 3 * TOO_LARGE_KEPT_BYTES
    assert {outcome.reason for outcome in found} == {DeadLetterReason.TRUNCATED_JSON}


def test_accounted_messages_change_profiles_and_nothing_comes_out() -> None:
    first = [browse(0, 0), purchase(0, 5), message(Topic.TRANSACTIONS, 1, transaction(amount="much"))]
    first.append(message(Topic.TRANSACTION_LABELS, 0, label()))
    whole = Bucket(None, LIMITS)
    list(whole.handle(first))
    resume = {(Topic.BROWSE_EVENTS, 0): 1, (Topic.TRANSACTIONS, 0): 2, (Topic.TRANSACTION_LABELS, 0): 1}
    again = Bucket(None, LIMITS._replace(resume=resume))
    (outcome,) = again.handle([*first, purchase(2, 60)])
    (expected,) = whole.handle([purchase(2, 60)])
    assert repr(outcome) == repr(expected)
    assert again.encode() == whole.encode()


def test_a_late_duplicate_does_not_prolong_the_memory_of_its_customer() -> None:
    once, again = Bucket(None, LIMITS), Bucket(None, LIMITS)
    other = on_day(9, "browse", 9, customer_id="c-2")
    list(once.handle([on_day(0, "purchase", 0), other]))
    list(again.handle([on_day(0, "purchase", 0), other, on_day(9, "purchase", 1, transaction_id="tx-0")]))
    assert again.encode() == once.encode()
