"""What happens to a bucket's messages: every one is accounted for, duplicates move nothing, arrival is the order."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from math import isnan

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.messages.contracts import Topic, Transaction, iso_milliseconds
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.redaction import CUT_MARGIN, redact
from fraudstream.messages.validation import MAX_MESSAGE_BYTES, TOO_LARGE_KEPT_BYTES
from fraudstream.static_data.currencies import CurrencyRates, Rate
from model.features.columns import STATEFUL_COLUMNS
from spark_jobs import change_log
from spark_jobs.bucket import Kind, Limits, Message
from spark_jobs.change_log import LEAST_APPENDED_BYTES
from spark_jobs.cutting import Room
from spark_jobs.sink import content_hash
from tests.messages import NOW, as_bytes, browse_event, label, transaction
from tests.unit.kept_log import KeptLog

DAY_S = 86_400
LIMITS = Limits(
    timedelta(minutes=5),
    allowed_lateness_ms=60_000,
    customer_retention_ms=10 * DAY_S * 1000,
    visitor_retention_ms=2 * DAY_S * 1000,
    ingest_skew_ms=DAY_S * 1000,
    resume={},
)
EUROS = CurrencyRates("EUR")


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
    for outcome in KeptLog().bucket(LIMITS, EUROS).handle(messages):
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
    (outcome,) = KeptLog().bucket(LIMITS, EUROS).handle([bad])
    assert (outcome.kind, outcome.offset, outcome.value) == (Kind.DEAD, 7, bad.value)
    assert outcome.reason == DeadLetterReason.NUMBER_AS_TEXT
    assert "amount" in str(outcome.detail)


def features(*batches: list[Message]) -> dict[object, object]:
    """The features of each purchase, to the bit."""
    bucket = KeptLog().bucket(LIMITS, EUROS)
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
    first, repeated = KeptLog().bucket(LIMITS, EUROS), KeptLog().bucket(LIMITS, EUROS)
    list(first.handle([browse(0, 0), purchase(0, 5)]))
    list(repeated.handle([browse(0, 0), purchase(0, 5), purchase(1, 6, transaction_id="tx-0", amount=999.0)]))
    assert KeptLog().after(repeated) == KeptLog().after(first)


def test_state_carries_over_to_the_next_batch() -> None:
    whole, second = KeptLog().bucket(LIMITS, EUROS), KeptLog().bucket(LIMITS, EUROS)
    expected = [o.features for o in whole.handle([purchase(0, 0), purchase(1, 60)])][1]
    list(second.handle([purchase(0, 0)]))
    (outcome,) = KeptLog().after(second).bucket(LIMITS, EUROS).handle([purchase(1, 60)])
    assert repr(outcome.features) == repr(expected)


def test_customers_of_a_bucket_do_not_share_history() -> None:
    alone, among = KeptLog().bucket(LIMITS, EUROS), KeptLog().bucket(LIMITS, EUROS)
    (expected,) = alone.handle([purchase(0, 60)])
    outcomes = list(among.handle([purchase(1, 0, customer_id="c-2"), purchase(0, 60)]))
    assert repr(outcomes[1].features) == repr(expected.features)


def test_late_is_a_mark_on_a_scored_transaction() -> None:
    on_time = message(Topic.TRANSACTIONS, 0, transaction(transaction_id="tx-0"), delay_s=59)
    late = message(Topic.TRANSACTIONS, 1, transaction(transaction_id="tx-1"), delay_s=61)
    assert [o.late for o in KeptLog().bucket(LIMITS, EUROS).handle([on_time, late])] == [False, True]


def on_day(day: float, kind: str, offset: int, **fields: object) -> Message:
    """A message that comes and happens `day` days after NOW."""
    make = {"browse": browse, "purchase": purchase}[kind]
    return make(offset, day * DAY_S, day * DAY_S, **fields)


def test_state_does_not_grow_in_a_compressed_quarter() -> None:
    """Each day 200 new visitors look and 20 new customers buy: a log that is put whole has those within retention."""
    log, sizes, wholes = KeptLog(), [], 0
    for day in range(90):
        bucket = log.bucket(LIMITS, EUROS)
        messages = [on_day(day, "browse", 1000 * day + n, customer_id=f"v-{day}-{n}") for n in range(200)]
        messages += [on_day(day, "purchase", 1000 * day + n, customer_id=f"c-{day}-{n}") for n in range(20)]
        assert sum(outcome.messages for outcome in bucket.handle(messages)) == 220
        is_whole = bucket.change_of(log.head).is_whole
        log = log.after(bucket)
        sizes.append(sum(map(len, log.chunks)))
        if is_whole and day > 12:  # retention and the skew of a day: visitors of 4 days, customers of 12
            assert len(log.customers) == 4 * 200 + 12 * 20
            wholes += 1
    assert wholes > 5
    assert max(sizes[45:]) <= max(sizes[:45]) <= 2 * (log.head.whole_bytes + LEAST_APPENDED_BYTES)


def test_a_customer_who_comes_back_after_the_retention_is_new_whether_swept_out_or_not() -> None:
    (expected,) = KeptLog().bucket(LIMITS, EUROS).handle([on_day(11, "purchase", 1)])
    kept = KeptLog().bucket(LIMITS, EUROS)
    together = list(kept.handle([on_day(0, "purchase", 0), on_day(11, "purchase", 1)]))
    log = KeptLog()
    for message_ in (on_day(0, "purchase", 0), on_day(12, "browse", 0, customer_id="c-2")):
        swept = log.bucket(LIMITS, EUROS)
        list(swept.handle([message_]))
        log = log.after(swept)
    head, chunks = change_log.whole(
        {c: stored for c, stored in log.customers.items() if not swept.is_over(stored)}, log.head.clock_ms
    )
    log = KeptLog(head, tuple(chunks))
    assert len(log.customers) == 1
    (apart,) = log.bucket(LIMITS, EUROS).handle([on_day(11, "purchase", 1)])
    assert repr(together[1].features) == repr(apart.features) == repr(expected.features)


def test_a_customer_who_comes_back_within_the_retention_is_known() -> None:
    bucket = KeptLog().bucket(LIMITS, EUROS)
    list(bucket.handle([on_day(0, "purchase", 0)]))
    (outcome,) = KeptLog().after(bucket).bucket(LIMITS, EUROS).handle([on_day(9, "purchase", 1)])
    (unknown,) = KeptLog().bucket(LIMITS, EUROS).handle([on_day(9, "purchase", 1)])
    assert repr(outcome.features) != repr(unknown.features)


FAR_AHEAD_MS = 1_795_000_000_000_000  # the year 58852


def test_a_clock_that_was_far_ahead_comes_back_and_expels_nobody() -> None:
    """As in a state from before `spark_jobs.source` bounded times."""
    poisoned, whole = KeptLog().bucket(LIMITS, EUROS), KeptLog().bucket(LIMITS, EUROS)
    known = [on_day(0, "purchase", n, customer_id=f"c-{n}") for n in range(5)]
    far = on_day(0, "browse", 9, customer_id="c-0")._replace(ingest_ms=FAR_AHEAD_MS, value=b"{")
    list(poisoned.handle([*known[:4], far, known[4]]))
    list(whole.handle([*known, far._replace(ingest_ms=known[0].ingest_ms)]))
    assert KeptLog().after(poisoned) == KeptLog().after(whole)
    assert len(KeptLog().after(poisoned).customers) == 5


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5))
def test_any_time_is_accounted_for(times_ms: list[int]) -> None:
    bucket = KeptLog().bucket(LIMITS, EUROS)
    messages = [purchase(n, n)._replace(ingest_ms=at) for n, at in enumerate(times_ms)]
    assert sum(outcome.messages for outcome in bucket.handle(messages)) == len(times_ms)
    KeptLog().after(bucket).bucket(LIMITS, EUROS)


def test_what_nobody_reads_of_a_large_message_is_not_handed_on() -> None:
    padded = purchase(0, 0, note="x" * 100_000)
    (outcome,) = KeptLog().bucket(LIMITS, EUROS).handle([padded])
    assert outcome.kind == Kind.TRANSACTION
    assert len(outcome.value or b"") < 1000
    assert outcome.cut
    decoder = msgspec.json.Decoder(Transaction)
    assert content_hash(decoder.decode(outcome.value or b"")) == content_hash(decoder.decode(padded.value or b""))


def test_a_message_that_is_too_large_is_cut_where_it_is_refused() -> None:
    value = b"4111111111111111 " * 60_000
    (outcome,) = KeptLog().bucket(LIMITS, EUROS).handle([purchase(0, 0)._replace(value=value)])
    beginning = purchase(0, 0)._replace(value=value[: TOO_LARGE_KEPT_BYTES + CUT_MARGIN], size=len(value))
    assert KeptLog().bucket(LIMITS, EUROS).handle([beginning]).__next__() == outcome
    assert outcome.reason == DeadLetterReason.TOO_LARGE
    assert outcome.detail == f"{len(value)} bytes; at most {MAX_MESSAGE_BYTES}"
    assert (outcome.value, outcome.cut) == (redact(value, TOO_LARGE_KEPT_BYTES), True)


def test_refused_values_beyond_a_tasks_room_are_cut() -> None:
    refused = [purchase(n, 0)._replace(value=b"{" + b" " * 100_000) for n in range(5)]
    room = Room(250_000)
    found = [room.fit(outcome) for outcome in KeptLog().bucket(LIMITS, EUROS).handle(refused)]
    assert [outcome.cut for outcome in found] == [False, False, True, True, True]
    assert sum(len(outcome.value or b"") for outcome in found) == 2 * 100_001 + 3 * TOO_LARGE_KEPT_BYTES
    assert {outcome.reason for outcome in found} == {DeadLetterReason.TRUNCATED_JSON}


def test_accounted_messages_change_profiles_and_nothing_comes_out() -> None:
    first = [browse(0, 0), purchase(0, 5), message(Topic.TRANSACTIONS, 1, transaction(amount="much"))]
    first.append(message(Topic.TRANSACTION_LABELS, 0, label()))
    whole = KeptLog().bucket(LIMITS, EUROS)
    list(whole.handle(first))
    resume = {(Topic.BROWSE_EVENTS, 0): 1, (Topic.TRANSACTIONS, 0): 2, (Topic.TRANSACTION_LABELS, 0): 1}
    again = KeptLog().bucket(LIMITS._replace(resume=resume), EUROS)
    (outcome,) = again.handle([*first, purchase(2, 60)])
    (expected,) = whole.handle([purchase(2, 60)])
    assert repr(outcome) == repr(expected)
    assert KeptLog().after(again) == KeptLog().after(whole)


def test_a_late_duplicate_does_not_prolong_the_memory_of_its_customer() -> None:
    once, again = KeptLog().bucket(LIMITS, EUROS), KeptLog().bucket(LIMITS, EUROS)
    other = on_day(9, "browse", 9, customer_id="c-2")
    list(once.handle([on_day(0, "purchase", 0), other]))
    list(again.handle([on_day(0, "purchase", 0), other, on_day(9, "purchase", 1, transaction_id="tx-0")]))
    assert KeptLog().after(again) == KeptLog().after(once)


def order(offset: int, seconds: float, **fields: object) -> Message:
    """A purchase that Kafka appends as it happens."""
    return purchase(offset, seconds, seconds, **fields)


def scored(rates: CurrencyRates, *messages: Message) -> list[dict[str, float | None]]:
    """Features and exchange rate of each transaction, which all come in one micro-batch."""
    return [
        dict(zip(STATEFUL_COLUMNS, outcome.features or (), strict=True)) | {"exchange_rate": outcome.exchange_rate}
        for outcome in KeptLog()
        .bucket(LIMITS._replace(customer_retention_ms=400 * DAY_S * 1000), rates)
        .handle(messages)
    ]


def test_an_order_in_another_currency_is_converted_as_of_its_own_time() -> None:
    today, tomorrow = NOW.date(), NOW.date() + timedelta(days=1)
    rates = CurrencyRates.of("EUR", [Rate("JPY", today, Decimal("0.006")), Rate("JPY", tomorrow, Decimal("0.007"))])
    yen = {"amount": 145_833.0, "currency": "JPY", "items": [{"product_id": "p", "quantity": 2, "unit_price": 72_000}]}
    euros, before, after, last = scored(
        rates, order(0, 0, amount=100), order(1, 10, **yen), order(2, DAY_S - 1, **yen), order(3, DAY_S)
    )
    assert (euros["amount"], euros["exchange_rate"]) == (100, 1)
    assert (before["amount"], before["unit_price_max"], before["exchange_rate"]) == (145_833 * 0.006, 432, 0.006)
    assert before["amount_to_mean"] == 8.75  # 874.998 is 875.00 in whole hundredths
    assert (after["amount"], after["exchange_rate"]) == (145_833 * 0.007, 0.007)
    assert (last["amount_7d"], last["amount_max_7d"]) == (100 + 875.0 + 1020.83, 1020.83)


def test_an_order_without_a_rate_is_scored_and_counted_and_its_amount_is_nowhere() -> None:
    pounds = {"amount": 1e7, "currency": "GBP"}
    first, second, third = scored(EUROS, order(0, 0, **pounds), order(1, 10, **pounds), order(2, 20))
    unknown = {"amount", "unit_price_mean", "unit_price_max", "amount_to_mean", "amount_to_max", "exchange_rate"}
    assert all(isnan(each[name] or 0.0) for each in (first, second) for name in unknown)
    assert (first["shipping_to_amount"], second["transactions_10m"], second["card_share"]) == (2.5e-7, 1, 1)
    assert (third["transactions_10m"], third["transactions_30d"], third["known_transactions"]) == (2, 2, 2)
    assert (third["amount_10m"], third["amount_30d"]) == (0, 0)
    assert all(isnan(third[name] or 0.0) for name in ("amount_mean_10m", "amount_max_7d", "amount_to_mean"))
    (*_, fourth) = scored(EUROS, *(order(n, n) for n in range(2)), order(3, 20, **pounds), order(4, 30))
    assert (fourth["amount_mean_10m"], fourth["amount_mean_30d"], fourth["amount_to_mean"]) == (42.5, 42.5, 1)


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=40))
def test_orders_without_a_rate_change_no_amount(orders: list[tuple[int, bool]]) -> None:
    """The amounts' windows are those of the other orders alone, while both fit into the profile's memory."""
    with_all = [order(n, day * DAY_S, currency="EUR" if priced else "GBP") for n, (day, priced) in enumerate(orders)]
    first, asked = order(98, 0), order(99, 40 * DAY_S + 1)
    priced = [each for each, (_, is_priced) in zip(with_all, orders, strict=True) if is_priced]
    (*_, among), (*_, alone) = scored(EUROS, first, *with_all, asked), scored(EUROS, first, *priced, asked)
    for name in ("amount_7d", "amount_mean_7d", "amount_max_7d", "amount_to_mean", "amount_to_max", "amount_deviation"):
        assert among[name] == alone[name] or (isnan(among[name] or 0.0) and isnan(alone[name] or 0.0))
    assert among["transactions_30d"] == sum(day > 10 for day, _ in orders)
