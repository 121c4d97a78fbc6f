"""Valid messages, and many kinds of bad ones, each with the reason that it must get."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from fraudstream.contracts import DeadLetterReason, iso_milliseconds

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def transaction(**fields: Any) -> dict[str, Any]:
    """A valid transaction of customer c-1, at NOW unless `event_time` is given."""
    return {
        "schema_version": 1,
        "transaction_id": "tx-1",
        "session_id": "s-1",
        "customer_id": "c-1",
        "event_time": iso_milliseconds(NOW),
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
    } | fields


def browse_event(**fields: Any) -> dict[str, Any]:
    """A valid browse event of customer c-1."""
    return {
        "schema_version": 1,
        "event_id": "e-1",
        "session_id": "s-1",
        "customer_id": "c-1",
        "event_type": "add_to_cart",
        "event_time": iso_milliseconds(NOW),
        "product_id": "p-1",
        "traffic_source": "organic",
        "device_id": "d-1",
        "device_type": "mobile",
    } | fields


def label(**fields: Any) -> dict[str, Any]:
    """A valid label of transaction tx-1."""
    return {
        "schema_version": 1,
        "transaction_id": "tx-1",
        "is_fraud": True,
        "source": "chargeback",
        "labelled_at": iso_milliseconds(NOW),
    } | fields


def as_bytes(message: dict[str, Any]) -> bytes:
    """As a producer of another team would send it."""
    return json.dumps(message).encode()


def bad_values(now: datetime) -> dict[str, tuple[bytes | None, DeadLetterReason]]:
    """Values of the topic `transactions`, bad against a Kafka clock of `now`; the key is `c-1` in all of them."""

    def changed(**fields: Any) -> bytes:
        return as_bytes(transaction(event_time=iso_milliseconds(now)) | fields)

    def without(field: str) -> bytes:
        whole = transaction(event_time=iso_milliseconds(now))
        return as_bytes({name: value for name, value in whole.items() if name != field})

    reason = DeadLetterReason
    return {
        "no value": (None, reason.EMPTY_VALUE),
        "empty": (b"", reason.MALFORMED_JSON),
        "cut off": (changed()[:-5], reason.MALFORMED_JSON),
        "two objects": (changed() + changed(), reason.MALFORMED_JSON),
        "deeply nested": (b'{"a":' * 20_000, reason.MALFORMED_JSON),
        "lone surrogate": (changed(shipping_city="?").replace(b'"?"', b'"\\ud800"'), reason.MALFORMED_JSON),
        "not UTF-8": (changed(shipping_city="?").replace(b'"?"', b'"\xc3\x28"'), reason.INVALID_UTF8),
        "Latin-1": ("Zürich".encode("latin-1"), reason.INVALID_UTF8),
        "NUL": (changed(shipping_city="a\0b"), reason.NUL_CHARACTER),
        "array": (b"[1, 2]", reason.NOT_AN_OBJECT),
        "string": (b'"text"', reason.NOT_AN_OBJECT),
        "NaN": (changed(amount=float("nan")), reason.NOT_FINITE),
        "infinite": (changed(amount=float("inf")), reason.NOT_FINITE),
        "too large a number": (changed().replace(b"42.5", b"1e999"), reason.NOT_FINITE),
        "no version": (without("schema_version"), reason.MISSING_VERSION),
        "later version": (changed(schema_version=2), reason.UNSUPPORTED_VERSION),
        "version as text": (changed(schema_version="1"), reason.UNSUPPORTED_VERSION),
        "no amount": (without("amount"), reason.MISSING_FIELD),
        "no id": (without("transaction_id"), reason.MISSING_FIELD),
        "amount as text": (changed(amount="42.5"), reason.WRONG_TYPE),
        "amount null": (changed(amount=None), reason.WRONG_TYPE),
        "items as text": (changed(items="p-1"), reason.WRONG_TYPE),
        "negative amount": (changed(amount=-1), reason.INVALID_VALUE),
        "no items": (changed(items=[]), reason.INVALID_VALUE),
        "empty id": (changed(transaction_id=""), reason.INVALID_VALUE),
        "country's name": (changed(shipping_country="Switzerland"), reason.INVALID_VALUE),
        "latitude": (changed(shipping_latitude=91), reason.INVALID_VALUE),
        "payment method": (changed(payment_method="gold"), reason.INVALID_VALUE),
        "no time": (changed(event_time="yesterday"), reason.INVALID_TIME),
        "no time zone": (changed(event_time=now.replace(tzinfo=None).isoformat()), reason.INVALID_TIME),
        "time as number": (changed(event_time=now.timestamp()), reason.INVALID_TIME),
        "far future": (changed(event_time=iso_milliseconds(now + timedelta(days=2))), reason.FUTURE_EVENT_TIME),
        "ancient": (changed(event_time=iso_milliseconds(now - timedelta(days=11_000))), reason.ANCIENT_EVENT_TIME),
        "too large": (changed(note="x" * 200_000), reason.TOO_LARGE),
    }
