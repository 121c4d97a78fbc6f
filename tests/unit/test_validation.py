"""Every kind of bad message is refused with its reason; valid ones pass unchanged."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.messages.contracts import BrowseEvent, Label, Topic, Transaction, encode, utc_time
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.refusal import Rejection
from fraudstream.messages.validation import bounded, decode
from tests.messages import NOW, Bad, as_bytes, bad_messages, browse_event, label, transaction

NOW_MS = int(NOW.timestamp() * 1000)
MAX_FUTURE = timedelta(minutes=5)
BAD = bad_messages(NOW)


def decode_transaction(value: bytes | None, key: bytes | None = b"c-1") -> object:
    return decode(Topic.TRANSACTIONS, key, value, NOW_MS, MAX_FUTURE)


def test_valid_transaction_passes() -> None:
    event = decode_transaction(as_bytes(transaction()))
    assert isinstance(event, Transaction)
    assert (event.amount, event.shipping_city, event.items[0].quantity) == (42.5, "Zürich", 2)


def test_encoding_writes_milliseconds_and_decodes_to_the_same_event() -> None:
    event = decode_transaction(as_bytes(transaction()))
    assert isinstance(event, Transaction)
    encoded = encode(event)
    assert b'"2026-03-01T12:00:00.000Z"' in encoded
    assert decode_transaction(encoded) == event


def test_browse_events_and_labels_have_their_own_schemas() -> None:
    browsed = decode(Topic.BROWSE_EVENTS, b"c-1", as_bytes(browse_event()), NOW_MS, MAX_FUTURE)
    labelled = decode(Topic.TRANSACTION_LABELS, b"tx-1", as_bytes(label()), NOW_MS, MAX_FUTURE)
    assert isinstance(browsed, BrowseEvent)
    assert isinstance(labelled, Label)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_bad_messages_are_refused_with_their_reason(bad: Bad) -> None:
    refused = decode(bad.topic, bad.key, bad.value, NOW_MS, MAX_FUTURE)
    assert isinstance(refused, Rejection)
    assert refused.reason is bad.reason
    assert refused.detail


def test_every_reason_has_a_bad_message() -> None:
    # The sink finds conflicts, in what was scored before.
    assert {bad.reason for bad in BAD.values()} | {DeadLetterReason.ID_CONFLICT} == set(DeadLetterReason)


ANY_INT64 = st.integers(-(2**63), 2**63 - 1)


@given(ANY_INT64)
def test_any_time_of_kafka_decides_or_refuses(appended_ms: int) -> None:
    found = decode(Topic.TRANSACTIONS, b"c-1", as_bytes(transaction()), appended_ms, MAX_FUTURE)
    reasons = (DeadLetterReason.FUTURE_EVENT_TIME, DeadLetterReason.ANCIENT_EVENT_TIME)
    assert isinstance(found, Transaction) or found.reason in reasons
    within = decode(Topic.TRANSACTIONS, b"c-1", as_bytes(transaction()), bounded(appended_ms, NOW_MS), MAX_FUTURE)
    assert isinstance(within, Transaction) == (appended_ms >= NOW_MS - 300_000)


@given(ANY_INT64)
def test_any_time_can_be_shown(milliseconds: int) -> None:
    shown = utc_time(milliseconds)
    assert shown.astimezone(timezone(timedelta(hours=14))).year <= 9999
    if 0 <= milliseconds <= NOW_MS:
        assert shown == datetime.fromtimestamp(milliseconds // 1000, UTC) + timedelta(milliseconds=milliseconds % 1000)


@pytest.mark.parametrize("struct", [BrowseEvent, Transaction, Label])
def test_each_field_cut_off_or_of_a_wrong_type_is_refused(struct: type[BrowseEvent | Transaction | Label]) -> None:
    topic, valid, key = {
        BrowseEvent: (Topic.BROWSE_EVENTS, browse_event(), b"c-1"),
        Transaction: (Topic.TRANSACTIONS, transaction(), b"c-1"),
        Label: (Topic.TRANSACTION_LABELS, label(), b"tx-1"),
    }[struct]
    whole = as_bytes(valid)
    for end in range(len(whole)):
        refused = decode(topic, key, whole[:end], NOW_MS, MAX_FUTURE)
        assert isinstance(refused, Rejection)
        assert refused.reason in (DeadLetterReason.TRUNCATED_JSON, DeadLetterReason.BLANK_VALUE)
    for name in msgspec.structs.fields(struct):
        refused = decode(topic, key, as_bytes(valid | {name.name: {}}), NOW_MS, MAX_FUTURE)
        assert isinstance(refused, Rejection)
        of_version = name.name == "schema_version"
        expected = DeadLetterReason.UNSUPPORTED_VERSION if of_version else DeadLetterReason.WRONG_TYPE
        assert refused.reason is expected


def test_an_escaped_backslash_before_u0000_is_text() -> None:
    assert isinstance(decode_transaction(as_bytes(transaction(shipping_city="a\\u0000b"))), Transaction)


def test_a_time_within_the_allowed_future_passes() -> None:
    assert isinstance(decode_transaction(as_bytes(transaction(event_time="2026-03-01T12:04:59Z"))), Transaction)


def test_unknown_fields_are_allowed() -> None:
    assert isinstance(decode_transaction(as_bytes(transaction(added_later=[1, 2]))), Transaction)


def test_structs_refuse_what_the_schema_forbids() -> None:
    with pytest.raises(msgspec.ValidationError, match="amount"):
        msgspec.convert(transaction(amount=-1), Transaction)
