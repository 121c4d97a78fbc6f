"""Decodes what arrives from Kafka, or says why it can't be used. Pure: no clock or IO, so a replay decides the same."""

import re
from datetime import timedelta
from typing import Any

import msgspec

from fraudstream.messages.card_numbers import field_with_card_number
from fraudstream.messages.contracts import BrowseEvent, Event, Label, Topic, Transaction
from fraudstream.messages.decoding import EventDecoder
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.refusal import Rejection, explain, explain_key

#: Messages above this many bytes are refused: the largest valid transaction (200 items) is far smaller.
MAX_MESSAGE_BYTES = 128 * 1024
#: Events older than this against Kafka's clock are taken for a broken clock, not for late ones.
MAX_AGE = timedelta(days=3650)

#: Decoders of messages that passed `decode`.
BROWSE_EVENTS, TRANSACTIONS, LABELS = EventDecoder(BrowseEvent), EventDecoder(Transaction), EventDecoder(Label)
_DECODERS: dict[str, EventDecoder[Any]] = {
    Topic.BROWSE_EVENTS: BROWSE_EVENTS,
    Topic.TRANSACTIONS: TRANSACTIONS,
    Topic.TRANSACTION_LABELS: LABELS,
}
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
        event: Event = decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return explain(topic, value, error, _DECODERS)
    # PostgreSQL's text can't hold NUL; looked for in the raw bytes, where a miss costs one scan.
    if b"\\u0000" in value and _ESCAPED_NUL.search(value):
        return Rejection(DeadLetterReason.NUL_CHARACTER, "a string contains \\u0000")
    if isinstance(event, Label):
        expected, event_time = event.transaction_id, event.labelled_at
    else:
        expected, event_time = event.customer_id, event.event_time
    if key != expected.encode():
        return explain_key(key, expected)
    if field := field_with_card_number(event):
        return Rejection(DeadLetterReason.CARD_NUMBER, f"`{field}` holds what passes for a card number")
    return _check_time(event_time.timestamp() * 1000, appended_ms, max_future) or event


def _check_time(event_ms: float, appended_ms: int, max_future: timedelta) -> Rejection | None:
    ahead = timedelta(milliseconds=event_ms - appended_ms)
    if ahead > max_future:
        return Rejection(DeadLetterReason.FUTURE_EVENT_TIME, f"{ahead} ahead of Kafka's clock; at most {max_future}")
    if -ahead > MAX_AGE:
        return Rejection(DeadLetterReason.ANCIENT_EVENT_TIME, f"{-ahead} behind Kafka's clock; at most {MAX_AGE}")
    return None
