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


@pytest.mark.parametrize("one", [b"1.0", b"1e0", b"10E-1", b"1.000"])
def test_a_whole_number_with_a_point_is_an_integer(one: bytes) -> None:
    plain = transaction(items=[{"product_id": "p-1", "quantity": 1, "unit_price": 20}], amount=21)
    written = as_bytes(plain).replace(b'"quantity": 1,', b'"quantity": %s,' % one)
    versioned = as_bytes(plain).replace(b'"schema_version": 1,', b'"schema_version": %s,' % one)
    for value in (written, versioned, written.replace(b'"schema_version": 1,', b'"schema_version": %s,' % one)):
        assert one in value
        event = decode_transaction(value)
        assert event == decode_transaction(as_bytes(plain))
        assert isinstance(event, Transaction)
        assert (type(event.items[0].quantity), type(event.schema_version), type(event.amount)) == (int, int, float)


def test_browse_events_and_labels_take_a_version_with_a_point() -> None:
    for topic, key, whole in (
        (Topic.BROWSE_EVENTS, b"c-1", browse_event()),
        (Topic.TRANSACTION_LABELS, b"tx-1", label()),
    ):
        pointed = decode(topic, key, as_bytes(whole | {"schema_version": 1.0}), NOW_MS, MAX_FUTURE)
        assert pointed == decode(topic, key, as_bytes(whole), NOW_MS, MAX_FUTURE)
        assert not isinstance(pointed, Rejection)


@pytest.mark.parametrize("quantity", [0.0, 1.5, 10_001.0, 1e30, -1.0, 1e300])
def test_other_numbers_with_a_point_are_no_quantity(quantity: float) -> None:
    refused = decode_transaction(as_bytes(transaction(items=[transaction()["items"][0] | {"quantity": quantity}])))
    assert isinstance(refused, Rejection)
    assert refused.reason is DeadLetterReason.INVALID_QUANTITY


def test_a_fault_elsewhere_is_named_whatever_form_integers_have() -> None:
    pointed = transaction(schema_version=1.0)
    for wrong, reason in (
        ({"amount": -1}, DeadLetterReason.INVALID_AMOUNT),
        ({"event_time": 1769903999.0}, DeadLetterReason.TIME_AS_NUMBER),
        ({"transaction_id": 5.0}, DeadLetterReason.WRONG_TYPE),
    ):
        refused = decode_transaction(as_bytes(pointed | wrong))
        assert isinstance(refused, Rejection)
        assert refused.reason is reason
    elsewhere = decode_transaction(as_bytes(browse_event(schema_version=1.0)))
    assert isinstance(elsewhere, Rejection)
    assert elsewhere.reason is DeadLetterReason.WRONG_TOPIC


def test_an_unknown_payment_method_or_label_source_keeps_its_name() -> None:
    paid = decode_transaction(as_bytes(transaction(payment_method="klarna")))
    told = decode(Topic.TRANSACTION_LABELS, b"tx-1", as_bytes(label(source="issuer_report")), NOW_MS, MAX_FUTURE)
    assert isinstance(paid, Transaction)
    assert isinstance(told, Label)
    assert (paid.payment_method, told.source) == ("klarna", "issuer_report")


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_bad_messages_are_refused_with_their_reason(bad: Bad) -> None:
    refused = decode(bad.topic, bad.key, bad.value, NOW_MS, MAX_FUTURE)
    assert isinstance(refused, Rejection)
    assert refused.reason is bad.reason
    assert refused.detail


def test_every_reason_has_a_bad_message() -> None:
    # The sink finds conflicts, in what was scored before, and the profiles' bucket who was erased; a mapping's source
    # has formats of its own.
    assert {bad.reason for bad in BAD.values()} | {
        DeadLetterReason.CUSTOMER_ERASED,
        DeadLetterReason.ID_CONFLICT,
        DeadLetterReason.MAPPING_FAILED,
        DeadLetterReason.NO_SCHEMA_REGISTRY_FRAME,
        DeadLetterReason.NOT_AN_ENVELOPE,
        DeadLetterReason.SCHEMA_MISMATCH,
        DeadLetterReason.UNKNOWN_SCHEMA,
    } == set(DeadLetterReason)


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
