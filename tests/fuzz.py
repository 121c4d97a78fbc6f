"""Mutants of valid messages, and an independent check of what is valid: Python's own JSON, no code under test."""

import json
import random
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from fraudstream.messages.contracts import BROWSE_EVENT_TYPES, PAYMENT_METHODS, Topic, iso_milliseconds
from tests.messages import as_bytes, browse_event, label, transaction

KEY_FIELDS = {
    Topic.BROWSE_EVENTS: "customer_id",
    Topic.TRANSACTIONS: "customer_id",
    Topic.TRANSACTION_LABELS: "transaction_id",
}
#: What takes the place of a field's value.
STRANGERS: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, 10**7, 10**19, 10**400, -0.0, 1e-320, 1e308, float("nan"), float("inf"),
    "", " ", "1", "x" * 64, "x" * 65, "x" * 300, "\0", "\u200b", "é" * 64, "😀" * 64, "'; DROP TABLE x; --", "\\N",
    "4111111111111111", "CH\n", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    [], [None], {}, {"a": {}}, [[[[[]]]]],
)  # fmt: skip


class Sent(NamedTuple):
    """A message as it is sent."""

    topic: Topic
    key: bytes | None
    value: bytes | None


# --- mutation -----------------------------------------------------------------------------------------------------


class Fuzzer:
    """A stream of messages: each valid one is followed by a mutant of another. The same seed makes the same ones."""

    def __init__(self, seed: int, now: datetime) -> None:
        self._random = random.Random(seed)
        self._now = now
        self._run = f"{seed:x}-{int(now.timestamp()):x}"
        self._number = 0

    def messages(self, count: int) -> Iterator[Sent]:
        """`count` of them, half of them mutants."""
        for number in range(count):
            yield self._mutant() if number % 2 else self._encoded(*self._valid())

    def _valid(self) -> tuple[Topic, dict[str, Any]]:
        self._number += 1
        name, chance = f"{self._run}-{self._number}", self._random.random()
        customer = f"c-{self._random.randrange(500)}"
        time = iso_milliseconds(self._now - timedelta(seconds=self._random.uniform(0, 1200)))
        who = {"customer_id": customer, "session_id": f"s-{customer}", "event_time": time}
        if chance < 0.4:
            kind = self._random.choice(BROWSE_EVENT_TYPES)
            return Topic.BROWSE_EVENTS, browse_event(event_id=f"e-{name}", event_type=kind, **who)
        if chance < 0.9:
            return Topic.TRANSACTIONS, transaction(transaction_id=f"tx-{name}", **who, **self._purchase())
        return Topic.TRANSACTION_LABELS, label(transaction_id=f"tx-{name}", labelled_at=time)

    def _purchase(self) -> dict[str, Any]:
        """Fields within their limits, and often at them."""
        pick = self._random.choice
        item = {"product_id": pick(["p-1", "p-2"]), "quantity": pick([1, 3, 10_000]), "unit_price": 1e7}
        return {
            "amount": pick([0.001, 42.5, 1e7]),
            "items": [item] * (200 if self._random.random() < 0.02 else 1),
            "payment_method": pick(PAYMENT_METHODS),
            "card_token": pick([None, "k-1"]),
            "shipping_latitude": pick([-90, 0, 47.37, 90]),
            "shipping_longitude": pick([-180, 0, 8.54, 180]),
            "shipping_city": pick(["Zürich", "a\tb\n\\c", "'", "x" * 200, "😀" * 64]),
        }

    def _encoded(self, topic: Topic, event: dict[str, Any]) -> Sent:
        return Sent(topic, event[KEY_FIELDS[topic]].encode(), as_bytes(event))

    def _mutant(self) -> Sent:
        topic, event = self._valid()
        kinds: tuple[Callable[[Topic, dict[str, Any]], Sent], ...] = (
            self._changed_field, self._changed_field, self._changed_field, self._removed_field, self._repeated_field,
            self._added_field, self._changed_bytes, self._changed_bytes, self._cut, self._other_key, self._other_topic,
            self._other_time, self._replaced,
        )  # fmt: skip
        return self._random.choice(kinds)(topic, event)

    def _changed_field(self, topic: Topic, event: dict[str, Any]) -> Sent:
        sent = self._encoded(topic, event)
        target = event
        if "items" in event and self._random.random() < 0.2:
            event["items"] = [target := dict(event["items"][0])]
        target[self._random.choice(list(target))] = self._random.choice(STRANGERS)
        return sent._replace(value=as_bytes(event))

    def _removed_field(self, topic: Topic, event: dict[str, Any]) -> Sent:
        sent = self._encoded(topic, event)
        del event[self._random.choice(list(event))]
        return sent._replace(value=as_bytes(event))

    def _repeated_field(self, topic: Topic, event: dict[str, Any]) -> Sent:
        sent = self._encoded(topic, event)
        name = self._random.choice(list(event))
        second = json.dumps({name: self._random.choice([event[name], *STRANGERS])}).encode()
        return sent._replace(value=(sent.value or b"")[:-1] + b", " + second[1:])

    def _added_field(self, topic: Topic, event: dict[str, Any]) -> Sent:
        sent = self._encoded(topic, event)
        deep = self._random.choice([1, 20, 20_000])
        return sent._replace(value=(sent.value or b"")[:-1] + b', "more": ' + b"[" * deep + b"]" * deep + b"}")

    def _changed_bytes(self, topic: Topic, event: dict[str, Any]) -> Sent:
        sent = self._encoded(topic, event)
        raw = bytearray(sent.value or b"")
        for _ in range(self._random.choice([1, 1, 2, 20])):
            raw[self._random.randrange(len(raw))] ^= 1 << self._random.randrange(8)
        return sent._replace(value=bytes(raw))

    def _cut(self, topic: Topic, event: dict[str, Any]) -> Sent:
        sent = self._encoded(topic, event)
        raw = sent.value or b""
        start, end = sorted(self._random.choices(range(len(raw)), k=2))
        return sent._replace(value=self._random.choice([raw[:end], raw[start:], raw[:start] + raw[end:]]))

    def _other_key(self, topic: Topic, event: dict[str, Any]) -> Sent:
        key = self._random.choice([None, b"", b"c-0", b"\xff\xfe", b"\0", b"4111 1111 1111 1111", b"k" * 5_000])
        return self._encoded(topic, event)._replace(key=key)

    def _other_topic(self, topic: Topic, event: dict[str, Any]) -> Sent:
        return self._encoded(topic, event)._replace(topic=self._random.choice(list(KEY_FIELDS)))

    def _other_time(self, topic: Topic, event: dict[str, Any]) -> Sent:
        ahead = timedelta(seconds=self._random.choice([-4e8, -3e8, -1e5, -3600, 60, 3600, 1e6, 1e9]))
        field = "labelled_at" if "labelled_at" in event else "event_time"
        shown = iso_milliseconds(self._now + ahead)
        forms = (shown, shown[:-1], shown.replace("T", " "), shown[:-1] + "+00:00", shown.lower(), shown[:10])
        event[field] = self._random.choice(forms)
        return self._encoded(topic, event)

    def _replaced(self, topic: Topic, event: dict[str, Any]) -> Sent:
        sent = self._encoded(topic, event)
        raw = sent.value or b""
        values = (
            None, b"", b"\n", raw, raw + raw, b"[" + raw + b"]", json.dumps(raw.decode()).encode(),
            b"\xef\xbb\xbf" + raw,
            raw.decode().encode("utf-16"), raw[:-1] + b"," + b" " * 200_000 + b"}", self._random.randbytes(200),
            raw.replace(b'"d-1"', b'"\\ud800"'), b'{"card": "4111-1111-1111-1111"}',
        )  # fmt: skip
        return sent._replace(value=self._random.choice(values))


# --- the check ----------------------------------------------------------------------------------------------------

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:?\d\d)")
_LIMITS = {
    "amount": (0, 1e7), "promo_amount": (0, 1e7), "shipping_fee": (0, 1e7), "unit_price": (0, 1e7),
    "shipping_latitude": (-90, 90), "shipping_longitude": (-180, 180),
}  # fmt: skip
_WORDS = ("event_type", "payment_method", "source")
_TEXTS = (
    "event_type", "card_token", "promo_code", "shipping_city", "payment_method", "traffic_source", "device_type",
    "source",
)  # fmt: skip
_PATTERNS = {"currency": r"[A-Z]{3}", "shipping_country": r"[A-Z]{2}", "ip_country": r"[A-Z]{2}"}
_TEMPLATES = {
    Topic.BROWSE_EVENTS: browse_event(),
    Topic.TRANSACTIONS: transaction(),
    Topic.TRANSACTION_LABELS: label(),
}
_REQUIRED = {
    Topic.BROWSE_EVENTS: {"schema_version", "event_id", "session_id", "customer_id", "event_type", "event_time"},
    Topic.TRANSACTIONS: {"schema_version", "transaction_id", "customer_id", "event_time", "amount"},
    Topic.TRANSACTION_LABELS: set(label()),
}


def valid_event(sent: Sent, appended_ms: int, max_future: timedelta) -> dict[str, Any] | None:
    """The event, if the contract allows the message; None otherwise."""
    if sent.key is None or sent.value is None or len(sent.value) > 128 * 1024:
        return None
    template = _TEMPLATES[sent.topic]
    try:
        # Unknown fields may hold any bytes and any number.
        event = json.loads(
            sent.value.decode(errors="surrogateescape"),
            parse_constant=_refuse,
            object_pairs_hook=partial(_checked, sent.topic),
        )
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or b"\\u0000" in sent.value or b"\\ud800" in sent.value:
        return None
    if not _REQUIRED[sent.topic] <= event.keys():
        return None
    if not all(_may_be(sent.topic, name, event[name]) for name in template if name in event):
        return None
    if any(str(event.get(name)).startswith("4111") for name in _TEXTS):
        return None
    moment = _moment(event["labelled_at" if "labelled_at" in template else "event_time"])
    ahead = moment - datetime.fromtimestamp(appended_ms / 1000, UTC)
    if ahead > max_future or -ahead > timedelta(days=3650):
        return None
    return event if sent.key == event[KEY_FIELDS[sent.topic]].encode() else None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _may_be(topic: Topic, name: str, value: Any) -> bool:
    if value is None:
        return name not in {*_REQUIRED[topic], "quantity", "unit_price"}
    return _is_valid(name, value)


def _checked(topic: Topic, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, if none of its values is wrong, also of those that a later one of the same name replaces."""
    names = [name for name, _ in pairs]
    for name, value in pairs:
        known = any(name in template for template in _TEMPLATES.values())
        if names.count(name) > 1 and known and not _may_be(topic, name, value):
            raise ValueError(name)
    return dict(pairs)


def _is_valid(name: str, value: Any) -> bool:
    if name == "schema_version":
        return type(value) in (int, float) and value == 1
    if name == "is_fraud":
        return type(value) is bool
    if name == "items":
        return isinstance(value, list) and 1 <= len(value) <= 200 and all(map(_is_item, value))
    if name == "quantity":
        return type(value) in (int, float) and 1 <= value <= 10_000 and value == int(value)
    if name in _LIMITS:
        low, high = _LIMITS[name]
        return type(value) in (int, float) and low <= value <= high and not (name == "amount" and value == 0)
    if not isinstance(value, str) or any("\ud800" <= character <= "\udfff" for character in value):
        return False
    if name in ("event_time", "labelled_at"):
        return _moment(value) is not None
    if name in _WORDS and (value != value.strip() or not value.isprintable()):
        return False
    if name in _PATTERNS:
        return re.fullmatch(_PATTERNS[name], value) is not None
    return 1 <= len(value) <= (200 if name == "shipping_city" else 64)


def _is_item(item: Any) -> bool:
    fields = ("product_id", "quantity", "unit_price")
    return (
        isinstance(item, dict)
        and all(name in item and _is_valid(name, item[name]) for name in fields)
        and item["product_id"] is not None
    )


def _moment(text: str) -> Any:
    match = _TIME.fullmatch(text)
    if not match:
        return None
    date, time, fraction, zone = match.groups()
    try:
        return datetime.fromisoformat(f"{date}T{time}{(fraction or '')[:7]}{zone.upper()}")
    except ValueError:
        return None
