"""Every kind of bad message is refused with its reason; valid ones pass unchanged."""

from datetime import timedelta

import msgspec
import pytest

from fraudstream.contracts import BrowseEvent, DeadLetterReason, Label, Topic, Transaction, encode
from fraudstream.validation import Rejection, decode, redact_card_numbers
from tests.messages import NOW, as_bytes, bad_values, browse_event, label, transaction

NOW_MS = int(NOW.timestamp() * 1000)
MAX_FUTURE = timedelta(minutes=5)
BAD_VALUES = bad_values(NOW)


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


@pytest.mark.parametrize(("value", "reason"), BAD_VALUES.values(), ids=BAD_VALUES.keys())
def test_bad_values_are_refused_with_their_reason(value: bytes | None, reason: DeadLetterReason) -> None:
    refused = decode_transaction(value)
    assert isinstance(refused, Rejection)
    assert refused.reason is reason
    assert refused.detail


def test_every_reason_has_a_bad_message() -> None:
    of_keys = {DeadLetterReason.MISSING_KEY, DeadLetterReason.KEY_MISMATCH}
    of_the_sink = {DeadLetterReason.ID_CONFLICT}
    assert {reason for _, reason in BAD_VALUES.values()} | of_keys | of_the_sink == set(DeadLetterReason)


def test_keys_are_checked() -> None:
    for key, reason in ((None, DeadLetterReason.MISSING_KEY), (b"c-2", DeadLetterReason.KEY_MISMATCH)):
        refused = decode_transaction(as_bytes(transaction()), key)
        assert isinstance(refused, Rejection)
        assert refused.reason is reason


def test_an_escaped_backslash_before_u0000_is_text() -> None:
    assert isinstance(decode_transaction(as_bytes(transaction(shipping_city="a\\u0000b"))), Transaction)


def test_a_time_within_the_allowed_future_passes() -> None:
    assert isinstance(decode_transaction(as_bytes(transaction(event_time="2026-03-01T12:04:59Z"))), Transaction)


def test_unknown_fields_are_allowed() -> None:
    assert isinstance(decode_transaction(as_bytes(transaction(added_later=[1, 2]))), Transaction)


@pytest.mark.parametrize(
    ("raw", "redacted"),
    [
        (b'{"card": "4111111111111111"}', b'{"card": "****************"}'),
        (b"4111 1111 1111 1111", b"**** **** **** ****"),
        (b"5500-0000-0000-0004 paid", b"****-****-****-**** paid"),
        (b"4111111111111112", b"4111111111111112"),  # fails the Luhn check
        (b"1772366400123", b"1772366400123"),  # a time in milliseconds
        (None, None),
    ],
)
def test_card_numbers_are_masked(raw: bytes | None, redacted: bytes | None) -> None:
    assert redact_card_numbers(raw) == redacted


def test_structs_refuse_what_the_schema_forbids() -> None:
    with pytest.raises(msgspec.ValidationError, match="amount"):
        msgspec.convert(transaction(amount=-1), Transaction)
