"""Every kind of bad message is refused with its reason; valid ones pass unchanged."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from fraudstream.contracts import BrowseEvent, DeadLetterReason, Label, Topic, Transaction, encode
from fraudstream.validation import Rejection, decode, redact_card_numbers

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
MAX_FUTURE = timedelta(minutes=5)

TRANSACTION = {
    "schema_version": 1,
    "transaction_id": "tx-1",
    "session_id": "s-1",
    "customer_id": "c-1",
    "event_time": "2026-03-01T11:59:59.500Z",
    "amount": 42.5,
    "currency": "EUR",
    "items": [{"product_id": "p-1", "quantity": 2, "unit_price": 20.0}],
    "payment_method": "card",
    "card_token": "k-1",
    "promo_code": None,
    "promo_amount": 0.0,
    "shipping_fee": 2.5,
    "shipping_city": "Zürich",
    "shipping_country": "CH",
    "shipping_latitude": 47.37,
    "shipping_longitude": 8.54,
    "ip_country": "CH",
    "device_id": "d-1",
}


def decode_transaction(value: bytes | None, key: bytes | None = b"c-1") -> object:
    return decode(Topic.TRANSACTIONS, key, value, NOW_MS, MAX_FUTURE)


def with_fields(**fields: object) -> bytes:
    return json.dumps(TRANSACTION | fields).encode()


def without(field: str) -> bytes:
    return json.dumps({name: value for name, value in TRANSACTION.items() if name != field}).encode()


def test_valid_transaction_passes() -> None:
    event = decode_transaction(with_fields())
    assert isinstance(event, Transaction)
    assert (event.amount, event.shipping_city, event.items[0].quantity) == (42.5, "Zürich", 2)


def test_encoding_writes_milliseconds_and_decodes_to_the_same_event() -> None:
    event = decode_transaction(with_fields())
    assert isinstance(event, Transaction)
    encoded = encode(event)
    assert b'"2026-03-01T11:59:59.500Z"' in encoded
    assert decode_transaction(encoded) == event


def test_browse_events_and_labels_have_their_own_schemas() -> None:
    browse = {
        "schema_version": 1,
        "event_id": "e-1",
        "session_id": "s-1",
        "customer_id": "c-1",
        "event_type": "add_to_cart",
        "event_time": "2026-03-01T12:00:00.000Z",
        "product_id": "p-1",
        "traffic_source": "organic",
        "device_id": "d-1",
        "device_type": "mobile",
    }
    label = {
        "schema_version": 1,
        "transaction_id": "tx-1",
        "is_fraud": True,
        "source": "chargeback",
        "labelled_at": "2026-03-01T12:00:00.000Z",
    }
    assert isinstance(decode(Topic.BROWSE_EVENTS, b"c-1", json.dumps(browse).encode(), NOW_MS, MAX_FUTURE), BrowseEvent)
    assert isinstance(decode(Topic.TRANSACTION_LABELS, b"tx-1", json.dumps(label).encode(), NOW_MS, MAX_FUTURE), Label)


BAD_VALUES = {
    "no value": (None, DeadLetterReason.EMPTY_VALUE),
    "empty": (b"", DeadLetterReason.MALFORMED_JSON),
    "cut off": (with_fields()[:-5], DeadLetterReason.MALFORMED_JSON),
    "two objects": (with_fields() + with_fields(), DeadLetterReason.MALFORMED_JSON),
    "deeply nested": (b'{"a":' * 20_000, DeadLetterReason.MALFORMED_JSON),
    "lone surrogate": (with_fields(shipping_city="?").replace(b'"?"', b'"\\ud800"'), DeadLetterReason.MALFORMED_JSON),
    "not UTF-8": (with_fields(shipping_city="?").replace(b'"?"', b'"\xc3\x28"'), DeadLetterReason.INVALID_UTF8),
    "Latin-1": ("Zürich".encode("latin-1"), DeadLetterReason.INVALID_UTF8),
    "NUL": (with_fields(shipping_city="a\0b"), DeadLetterReason.NUL_CHARACTER),
    "array": (b"[1, 2]", DeadLetterReason.NOT_AN_OBJECT),
    "string": (b'"text"', DeadLetterReason.NOT_AN_OBJECT),
    "NaN": (with_fields(amount=float("nan")), DeadLetterReason.NOT_FINITE),
    "infinite": (with_fields(amount=float("inf")), DeadLetterReason.NOT_FINITE),
    "too large a number": (with_fields().replace(b"42.5", b"1e999"), DeadLetterReason.NOT_FINITE),
    "no version": (without("schema_version"), DeadLetterReason.MISSING_VERSION),
    "later version": (with_fields(schema_version=2), DeadLetterReason.UNSUPPORTED_VERSION),
    "version as text": (with_fields(schema_version="1"), DeadLetterReason.UNSUPPORTED_VERSION),
    "no amount": (without("amount"), DeadLetterReason.MISSING_FIELD),
    "no id": (without("transaction_id"), DeadLetterReason.MISSING_FIELD),
    "amount as text": (with_fields(amount="42.5"), DeadLetterReason.WRONG_TYPE),
    "amount null": (with_fields(amount=None), DeadLetterReason.WRONG_TYPE),
    "items as text": (with_fields(items="p-1"), DeadLetterReason.WRONG_TYPE),
    "negative amount": (with_fields(amount=-1), DeadLetterReason.INVALID_VALUE),
    "no items": (with_fields(items=[]), DeadLetterReason.INVALID_VALUE),
    "empty id": (with_fields(transaction_id=""), DeadLetterReason.INVALID_VALUE),
    "country's name": (with_fields(shipping_country="Switzerland"), DeadLetterReason.INVALID_VALUE),
    "latitude": (with_fields(shipping_latitude=91), DeadLetterReason.INVALID_VALUE),
    "payment method": (with_fields(payment_method="gold"), DeadLetterReason.INVALID_VALUE),
    "no time": (with_fields(event_time="yesterday"), DeadLetterReason.INVALID_TIME),
    "no time zone": (with_fields(event_time="2026-03-01T12:00:00"), DeadLetterReason.INVALID_TIME),
    "time as number": (with_fields(event_time=1772366400), DeadLetterReason.INVALID_TIME),
    "far future": (with_fields(event_time="2026-03-01T12:05:01Z"), DeadLetterReason.FUTURE_EVENT_TIME),
    "ancient": (with_fields(event_time="1996-03-01T12:00:00Z"), DeadLetterReason.ANCIENT_EVENT_TIME),
    "too large": (with_fields(note="x" * 200_000), DeadLetterReason.TOO_LARGE),
}


@pytest.mark.parametrize(("value", "reason"), BAD_VALUES.values(), ids=BAD_VALUES.keys())
def test_bad_values_are_refused_with_their_reason(value: bytes | None, reason: DeadLetterReason) -> None:
    refused = decode_transaction(value)
    assert isinstance(refused, Rejection)
    assert refused.reason is reason
    assert refused.detail


def test_keys_are_checked() -> None:
    for key, reason in ((None, DeadLetterReason.MISSING_KEY), (b"c-2", DeadLetterReason.KEY_MISMATCH)):
        refused = decode_transaction(with_fields(), key)
        assert isinstance(refused, Rejection)
        assert refused.reason is reason


def test_an_escaped_backslash_before_u0000_is_text() -> None:
    assert isinstance(decode_transaction(with_fields(shipping_city="a\\u0000b")), Transaction)


def test_a_time_within_the_allowed_future_passes() -> None:
    assert isinstance(decode_transaction(with_fields(event_time="2026-03-01T12:04:59Z")), Transaction)


def test_unknown_fields_are_allowed() -> None:
    assert isinstance(decode_transaction(with_fields(added_later=[1, 2])), Transaction)


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
        msgspec.convert(TRANSACTION | {"amount": -1}, Transaction)
