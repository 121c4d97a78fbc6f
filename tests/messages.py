"""Valid messages, and many kinds of bad ones, each with the reason that it must get."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.messages.reasons import DeadLetterReason

Reason = DeadLetterReason
CARD = "4111111111111111"  # a payment scheme's number for tests
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


class Bad(NamedTuple):
    """A message, and the reason that it must be refused for."""

    topic: Topic
    key: bytes | None
    value: bytes | None
    reason: DeadLetterReason


def bad_messages(now: datetime) -> dict[str, Bad]:
    """A bad message of each kind against a Kafka clock of `now`; all reasons but ID_CONFLICT, which needs a history."""
    transactions = {name: Bad(Topic.TRANSACTIONS, b"c-1", *bad) for name, bad in bad_values(now).items()}
    return transactions | _bad_keys(now) | _bad_of_other_topics(now)


def bad_values(now: datetime) -> dict[str, tuple[bytes | None, DeadLetterReason]]:
    """Values of the topic `transactions`, bad against a Kafka clock of `now`; the key is `c-1` in all of them."""
    return _bad_bytes(now) | _bad_fields(now) | _bad_times(now)


def _changed(now: datetime, **fields: Any) -> bytes:
    return as_bytes(transaction(event_time=iso_milliseconds(now)) | fields)


def _without(now: datetime, field: str) -> bytes:
    whole = transaction(event_time=iso_milliseconds(now))
    return as_bytes({name: value for name, value in whole.items() if name != field})


def _bad_bytes(now: datetime) -> dict[str, tuple[bytes | None, DeadLetterReason]]:
    good, marked = _changed(now), _changed(now, shipping_city="?")
    return {
        "no value": (None, Reason.EMPTY_VALUE),
        "empty": (b"", Reason.BLANK_VALUE),
        "white space": (b" \r\n\t", Reason.BLANK_VALUE),
        "too large": (_changed(now, note="x" * 200_000), Reason.TOO_LARGE),
        "UTF-8 with a signature": (b"\xef\xbb\xbf" + good, Reason.BYTE_ORDER_MARK),
        "UTF-16": (good.decode().encode("utf-16"), Reason.BYTE_ORDER_MARK),
        "gzip": (gzip.compress(good), Reason.COMPRESSED_VALUE),
        "Zstandard": (b"\x28\xb5\x2f\xfd\x04\x00", Reason.COMPRESSED_VALUE),
        "schema registry": (b"\0\0\0\0\x07" + good, Reason.SCHEMA_REGISTRY_FRAME),
        "not UTF-8": (marked.replace(b'"?"', b'"\xc3\x28"'), Reason.INVALID_UTF8),
        "Latin-1": ("Zürich".encode("latin-1"), Reason.INVALID_UTF8),
        "high surrogate": (marked.replace(b'"?"', b'"\\ud83d"'), Reason.LONE_SURROGATE),
        "low surrogate": (marked.replace(b'"?"', b'"\\ude00"'), Reason.LONE_SURROGATE),
        "NUL": (_changed(now, shipping_city="a\0b"), Reason.NUL_CHARACTER),
        "cut off": (good[:-5], Reason.TRUNCATED_JSON),
        "cut off after a wrong field": (b'{"amount": "x", "cur', Reason.TRUNCATED_JSON),
        "two objects": (good + good, Reason.TRAILING_DATA),
        "deeply nested": (b'{"a":' * 20_000, Reason.TOO_DEEP),
        "Python's quotes": (str(transaction()).encode(), Reason.MALFORMED_JSON),
        "trailing comma": (good[:-1] + b",}", Reason.MALFORMED_JSON),
        "line break in a string": (marked.replace(b'"?"', b'"a\nb"'), Reason.MALFORMED_JSON),
        "array": (b"[1, 2]", Reason.NOT_AN_OBJECT),
        "string": (b'"text"', Reason.NOT_AN_OBJECT),
        "null": (b"null", Reason.NOT_AN_OBJECT),
        "NaN": (_changed(now, amount=float("nan")), Reason.NOT_FINITE),
        "infinite": (_changed(now, amount=float("inf")), Reason.NOT_FINITE),
        "too large a number": (good.replace(b"42.5", b"1e999"), Reason.NOT_FINITE),
        "amount twice": (good[:-1] + b', "amount": "x"}', Reason.DUPLICATE_FIELD),
    }


def _bad_fields(now: datetime) -> dict[str, tuple[bytes | None, DeadLetterReason]]:
    def item(**fields: Any) -> bytes:
        return _changed(now, items=[{"product_id": "p-1", "quantity": 2, "unit_price": 20.0} | fields])

    return {
        "no version": (_without(now, "schema_version"), Reason.MISSING_VERSION),
        "later version": (_changed(now, schema_version=2), Reason.UNSUPPORTED_VERSION),
        "version as text": (_changed(now, schema_version="1"), Reason.UNSUPPORTED_VERSION),
        "version as a fraction": (_changed(now, schema_version=1.5), Reason.UNSUPPORTED_VERSION),
        "browse event": (as_bytes(browse_event()), Reason.WRONG_TOPIC),
        "no amount": (_without(now, "amount"), Reason.MISSING_FIELD),
        "no id": (_without(now, "transaction_id"), Reason.MISSING_FIELD),
        "item without a price": (_changed(now, items=[{"product_id": "p-1", "quantity": 1}]), Reason.MISSING_FIELD),
        "amount null": (_changed(now, amount=None), Reason.NULL_FIELD),
        "time null": (_changed(now, event_time=None), Reason.NULL_FIELD),
        "amount as text": (_changed(now, amount="42.5"), Reason.NUMBER_AS_TEXT),
        "quantity as text": (item(quantity="2"), Reason.NUMBER_AS_TEXT),
        "amount true": (_changed(now, amount=True), Reason.WRONG_TYPE),
        "items as text": (_changed(now, items="p-1"), Reason.WRONG_TYPE),
        "id as number": (_changed(now, transaction_id=5), Reason.WRONG_TYPE),
        "no city": (_changed(now, shipping_city=""), Reason.INVALID_VALUE),
        "empty id": (_changed(now, transaction_id=""), Reason.EMPTY_IDENTIFIER),
        "empty promo code": (_changed(now, promo_code=""), Reason.EMPTY_IDENTIFIER),
        "long id": (_changed(now, device_id="x" * 65), Reason.IDENTIFIER_TOO_LONG),
        "negative amount": (_changed(now, amount=-1), Reason.INVALID_AMOUNT),
        "negative fee": (_changed(now, shipping_fee=-1), Reason.INVALID_AMOUNT),
        "negative price": (item(unit_price=-1), Reason.INVALID_PRICE),
        "currency's sign": (_changed(now, currency="€"), Reason.INVALID_CURRENCY),
        "currency with a line break": (_changed(now, currency="EUR\n"), Reason.INVALID_CURRENCY),
        "country's name": (_changed(now, shipping_country="Switzerland"), Reason.INVALID_COUNTRY),
        "country in small letters": (_changed(now, ip_country="ch"), Reason.INVALID_COUNTRY),
        "latitude": (_changed(now, shipping_latitude=91), Reason.INVALID_COORDINATES),
        "longitude": (_changed(now, shipping_longitude=-181), Reason.INVALID_COORDINATES),
        "no quantity": (item(quantity=0), Reason.INVALID_QUANTITY),
        "half a piece": (item(quantity=0.5), Reason.INVALID_QUANTITY),
        "huge quantity": (item(quantity=10**30), Reason.INVALID_QUANTITY),
        "no items": (_changed(now, items=[]), Reason.NO_ITEMS),
        "201 items": (_changed(now, items=transaction()["items"] * 201), Reason.TOO_MANY_ITEMS),
        "payment method in spaces": (_changed(now, payment_method=" card "), Reason.INVALID_VALUE),
        "fee as text": (_changed(now, shipping_fee="2.5"), Reason.NUMBER_AS_TEXT),
        "empty shop": (_changed(now, shop=""), Reason.EMPTY_IDENTIFIER),
        "no payment method": (_changed(now, payment_method=""), Reason.EMPTY_IDENTIFIER),
        "card number for a token": (_changed(now, card_token=CARD), Reason.CARD_NUMBER),
    }


def _bad_times(now: datetime) -> dict[str, tuple[bytes | None, DeadLetterReason]]:
    return {
        "no time": (_changed(now, event_time="yesterday"), Reason.INVALID_TIME),
        "leap second": (_changed(now, event_time="2016-12-31T23:59:60Z"), Reason.INVALID_TIME),
        "no time zone": (_changed(now, event_time=now.replace(tzinfo=None).isoformat()), Reason.NO_TIME_ZONE),
        "time as number": (_changed(now, event_time=now.timestamp()), Reason.TIME_AS_NUMBER),
        "time as whole number": (_changed(now, event_time=int(now.timestamp())), Reason.TIME_AS_NUMBER),
        "far future": (
            _changed(now, event_time=iso_milliseconds(now + timedelta(days=2))),
            Reason.FUTURE_EVENT_TIME,
        ),
        "end of time": (_changed(now, event_time="9999-12-31T23:59:59Z"), Reason.FUTURE_EVENT_TIME),
        "ancient": (
            _changed(now, event_time=iso_milliseconds(now - timedelta(days=11_000))),
            Reason.ANCIENT_EVENT_TIME,
        ),
        "beginning of time": (_changed(now, event_time="0001-01-01T00:00:00+14:00"), Reason.ANCIENT_EVENT_TIME),
    }


def _bad_keys(now: datetime) -> dict[str, Bad]:
    good = _changed(now)
    keys = {
        "no key": (None, Reason.MISSING_KEY),
        "empty key": (b"", Reason.EMPTY_KEY),
        "number as key": (b"\0\0\0\xff", Reason.KEY_NOT_UTF8),
        "somebody else's key": (b"c-2", Reason.KEY_MISMATCH),
        "quoted key": (b'"c-1"', Reason.KEY_MISMATCH),
    }
    return {name: Bad(Topic.TRANSACTIONS, key, good, reason) for name, (key, reason) in keys.items()}


def _bad_of_other_topics(now: datetime) -> dict[str, Bad]:
    time = iso_milliseconds(now)
    browsed, labelled = Topic.BROWSE_EVENTS, Topic.TRANSACTION_LABELS
    return {
        "event type": Bad(browsed, b"c-1", as_bytes(browse_event(event_type="view\nitem")), Reason.INVALID_VALUE),
        "transaction among browse events": Bad(browsed, b"c-1", _changed(now), Reason.WRONG_TOPIC),
        "no label source": Bad(labelled, b"tx-1", as_bytes(label(source="")), Reason.EMPTY_IDENTIFIER),
        "label's key": Bad(labelled, b"c-1", as_bytes(label(labelled_at=time)), Reason.KEY_MISMATCH),
        "verdict as text": Bad(labelled, b"tx-1", as_bytes(label(is_fraud="yes")), Reason.WRONG_TYPE),
        "binary": Bad(browsed, b"\xff\xfe", b"\x01\x02", Reason.MALFORMED_JSON),
    }
