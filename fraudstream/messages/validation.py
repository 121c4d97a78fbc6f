"""Decodes what arrives from Kafka, or says why it can't be used. Pure: no clock or IO, so a replay decides the same."""

import re
from datetime import datetime, timedelta
from typing import Any

import msgspec

from fraudstream.messages.card_numbers import field_with_card_number
from fraudstream.messages.contracts import OPEN_WORDS, BrowseEvent, Event, Label, Topic, Transaction
from fraudstream.messages.decoding import EventDecoder
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.refusal import Rejection, explain, explain_key

#: Messages above this many bytes are refused: the largest valid transaction (200 items) is far smaller.
MAX_MESSAGE_BYTES = 128 * 1024
#: So much of a message above is kept, since it can't be sent again anyway.
TOO_LARGE_KEPT_BYTES = 4 * 1024
#: So much is kept of a refused message's key; no valid key is as long.
MAX_KEY_BYTES = 1024
#: Kafka's clock may be so far ahead of ours; a message from further ahead is taken as of this bound.
CLOCK_TOLERANCE = timedelta(days=1)
#: Events older than this against Kafka's clock are taken for a broken clock, not for late ones.
MAX_AGE = timedelta(days=3650)
_MILLISECOND = timedelta(milliseconds=1)

#: Decoders of messages that passed `decode`.
BROWSE_EVENTS, TRANSACTIONS, LABELS = EventDecoder(BrowseEvent), EventDecoder(Transaction), EventDecoder(Label)
_DECODERS: dict[str, EventDecoder[Any]] = {
    Topic.BROWSE_EVENTS: BROWSE_EVENTS,
    Topic.TRANSACTIONS: TRANSACTIONS,
    Topic.TRANSACTION_LABELS: LABELS,
}
_OPEN_WORDS = {struct: OPEN_WORDS[struct.__name__] for struct in (BrowseEvent, Transaction, Label)}
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def decode(
    topic: str,
    key: bytes | None,
    value: bytes | None,
    appended_ms: int,
    max_future: timedelta,
    size: int | None = None,
) -> Event | Rejection:
    """Decodes and validates one message.

    Args:
        topic: one of `contracts.INPUT_TOPICS`; anything else raises KeyError.
        key: the message's key; must equal the event's key field.
        value: the message's value.
        appended_ms: when Kafka appended it, in milliseconds since the epoch; times are judged against it. Any int64.
        max_future: how far an event's time may be ahead of Kafka's clock.
        size: bytes of the value as it was sent, when only its beginning is given.
    """
    decoder = _DECODERS[topic]
    if value is None:
        return Rejection(DeadLetterReason.EMPTY_VALUE, "the message has no value")
    if key is None:
        return Rejection(DeadLetterReason.MISSING_KEY, "the message has no key")
    size = len(value) if size is None else size
    if size > MAX_MESSAGE_BYTES:
        return Rejection(DeadLetterReason.TOO_LARGE, f"{size} bytes; at most {MAX_MESSAGE_BYTES}")
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
    return check_meaning(event, event_time, appended_ms, max_future) or event


def check_meaning(event: Event, event_time: datetime, appended_ms: int, max_future: timedelta) -> Rejection | None:
    """Why an event of the right form can't be used: an open word that is none, or a time that can't be."""
    name, known = _OPEN_WORDS[type(event)]
    word = getattr(event, name)
    if word is not None and word not in known and not _is_word(word):
        detail = f"`{name}` {word!r} isn't a word: characters that can't be shown, or spaces around it"
        return Rejection(DeadLetterReason.INVALID_VALUE, detail)
    ahead_ms = event_time.timestamp() * 1000 - appended_ms
    if ahead_ms > max_future / _MILLISECOND:
        detail = f"{_span(ahead_ms)} ahead of Kafka's clock; at most {max_future}"
        return Rejection(DeadLetterReason.FUTURE_EVENT_TIME, detail)
    if -ahead_ms > MAX_AGE / _MILLISECOND:
        detail = f"{_span(-ahead_ms)} behind Kafka's clock; at most {MAX_AGE}"
        return Rejection(DeadLetterReason.ANCIENT_EVENT_TIME, detail)
    return None


def bounded(appended_ms: int, now_ms: int) -> int:
    """The time at which Kafka appended a message, when that can be: from 1970 until `CLOCK_TOLERANCE` after `now_ms`.

    All in milliseconds since the epoch. `spark_jobs.source` says the same to Spark.
    """
    return max(0, min(appended_ms, now_ms + CLOCK_TOLERANCE // _MILLISECOND))


def _is_word(text: str) -> bool:
    return text.isprintable() and text == text.strip()


def _span(milliseconds: float) -> timedelta:
    """For people: a `timedelta` can't hold all of an int64."""
    return timedelta(milliseconds=min(milliseconds, timedelta.max // _MILLISECOND / 2))
