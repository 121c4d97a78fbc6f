"""Decodes what arrives from Kafka, or says why it can't be used. Pure: no clock or IO, so a replay decides the same."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from fraudstream.contracts import (
    SCHEMA_VERSION,
    BrowseEvent,
    DeadLetterReason,
    Event,
    Label,
    Topic,
    Transaction,
)

#: Messages above this many bytes are refused: the largest valid transaction (200 items) is far smaller.
MAX_MESSAGE_BYTES = 128 * 1024
#: Events older than this against Kafka's clock are taken for a broken clock, not for late ones.
MAX_AGE = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a message was refused: a stable code, and a detail for people."""

    reason: DeadLetterReason
    detail: str


class _Header(msgspec.Struct):
    schema_version: Any = msgspec.UNSET


_DECODERS: dict[str, msgspec.json.Decoder[Event]] = {
    Topic.BROWSE_EVENTS: msgspec.json.Decoder(BrowseEvent),
    Topic.TRANSACTIONS: msgspec.json.Decoder(Transaction),
    Topic.TRANSACTION_LABELS: msgspec.json.Decoder(Label),
}
_HEADER_DECODER = msgspec.json.Decoder(_Header)
_NON_FINITE = re.compile(rb"[:\[,]\s*[-+]?(?:NaN|Infinity|inf|nan)\b")
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def decode(
    topic: str, key: bytes | None, value: bytes | None, appended_ms: int, max_future: timedelta
) -> Event | Rejection:
    """Decodes and validates one message.

    Args:
        topic: one of `contracts.INPUT_TOPICS`; anything else raises KeyError.
        key: the message's key; must equal the event's key field.
        value: the message's value.
        appended_ms: when Kafka appended it, in milliseconds since the epoch; times are judged against it.
        max_future: how far an event's time may be ahead of Kafka's clock.
    """
    decoder = _DECODERS[topic]
    if value is None:
        return Rejection(DeadLetterReason.EMPTY_VALUE, "the message has no value")
    if key is None:
        return Rejection(DeadLetterReason.MISSING_KEY, "the message has no key")
    if len(value) > MAX_MESSAGE_BYTES:
        return Rejection(DeadLetterReason.TOO_LARGE, f"{len(value)} bytes; at most {MAX_MESSAGE_BYTES}")
    try:
        event = decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _explain(value, error)
    # PostgreSQL's text can't hold NUL; looked for in the raw bytes, where a miss costs one scan.
    if b"\\u0000" in value and _ESCAPED_NUL.search(value):
        return Rejection(DeadLetterReason.NUL_CHARACTER, "a string contains \\u0000")
    expected = event.transaction_id if isinstance(event, Label) else event.customer_id
    if key != expected.encode():
        return Rejection(DeadLetterReason.KEY_MISMATCH, f"the key isn't the event's own, {expected!r}")
    event_time = event.labelled_at if isinstance(event, Label) else event.event_time
    return _check_time(event_time.timestamp() * 1000, appended_ms, max_future) or event


def _check_time(event_ms: float, appended_ms: int, max_future: timedelta) -> Rejection | None:
    ahead = timedelta(milliseconds=event_ms - appended_ms)
    if ahead > max_future:
        return Rejection(DeadLetterReason.FUTURE_EVENT_TIME, f"{ahead} ahead of Kafka's clock; at most {max_future}")
    if -ahead > MAX_AGE:
        return Rejection(DeadLetterReason.ANCIENT_EVENT_TIME, f"{-ahead} behind Kafka's clock; at most {MAX_AGE}")
    return None


def _explain(value: bytes, error: Exception) -> Rejection:
    """Names the reason of a failed decode. Slow path: looks again at what the decoder refused."""
    try:
        value.decode()
    except UnicodeDecodeError as unicode_error:
        return Rejection(DeadLetterReason.INVALID_UTF8, str(unicode_error))
    if not isinstance(error, msgspec.ValidationError):
        if _NON_FINITE.search(value):
            return Rejection(DeadLetterReason.NOT_FINITE, "a number is NaN or infinite")
        return Rejection(DeadLetterReason.MALFORMED_JSON, str(error) or type(error).__name__)
    return _explain_version(value) or _explain_validation(str(error))


def _explain_version(value: bytes) -> Rejection | None:
    try:
        version = _HEADER_DECODER.decode(value).schema_version
    except msgspec.ValidationError:
        return Rejection(DeadLetterReason.NOT_AN_OBJECT, "the value is JSON, but not an object")
    if version is msgspec.UNSET:
        return Rejection(DeadLetterReason.MISSING_VERSION, "no schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        shown = repr(version)[:40]
        return Rejection(DeadLetterReason.UNSUPPORTED_VERSION, f"schema_version {shown}; known: {SCHEMA_VERSION}")
    return None


def _explain_validation(message: str) -> Rejection:
    if "missing required field" in message:
        return Rejection(DeadLetterReason.MISSING_FIELD, message)
    if "datetime" in message:
        return Rejection(DeadLetterReason.INVALID_TIME, message)
    if ", got `" in message:
        return Rejection(DeadLetterReason.WRONG_TYPE, message)
    if "Number out of range" in message:
        return Rejection(DeadLetterReason.NOT_FINITE, message)
    return Rejection(DeadLetterReason.INVALID_VALUE, message)


# --- redaction ----------------------------------------------------------------------------------------------------

_DIGIT_RUN = re.compile(rb"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")


def redact_card_numbers(raw: bytes | None) -> bytes | None:
    """Masks whatever looks like a card number: 13 to 19 digits, spaces or dashes between, that pass the Luhn check."""
    if raw is None:
        return None
    return _DIGIT_RUN.sub(lambda match: _mask(match.group()), raw)


def _mask(run: bytes) -> bytes:
    digits = [byte - 48 for byte in run if 48 <= byte <= 57]
    return re.sub(rb"\d", b"*", run) if _passes_luhn(digits) else run


def _passes_luhn(digits: list[int]) -> bool:
    """The checksum of ISO/IEC 7812-1: every second digit from the right doubled, digits summed, divisible by 10."""
    doubled = (digit if index % 2 == 0 else digit * 2 - 9 * (digit > 4) for index, digit in enumerate(reversed(digits)))
    return sum(doubled) % 10 == 0
