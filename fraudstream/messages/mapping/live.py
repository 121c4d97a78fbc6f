"""A live source's messages: each becomes one of our own form, is refused, or is left out. Pure, as `validation` is.

What is judged here passes again whatever reads it later: the value that is handed on is our own form, written by us.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from fraudstream.messages.contracts import Event, Label
from fraudstream.messages.mapping.decoding import MappedDecoder
from fraudstream.messages.mapping.fields import Kind
from fraudstream.messages.mapping.file import mapping_of_text
from fraudstream.messages.mapping.sources import LiveSource
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.refusal import Rejection
from fraudstream.messages.validation import BROWSE_EVENTS, LABELS, MAX_MESSAGE_BYTES, TRANSACTIONS, check_meaning

#: The fate of a message that `[where]` leaves out, or that has no value: nothing to read, and nothing wrong with it.
SKIPPED: Final = "skipped"

_encode = msgspec.json.Encoder().encode
_DECODERS: dict[str, Callable[[bytes], Any]] = {
    Kind.TRANSACTION.value: TRANSACTIONS.decode,
    Kind.BROWSE.value: BROWSE_EVENTS.decode,
    Kind.LABEL.value: LABELS.decode,
}


class Mapped(NamedTuple):
    """A message after its mapping.

    `fate` is the `Kind` of event that it became, with key and value in our own form; or `SKIPPED`, without a value; or
    the code of a `DeadLetterReason`, with key and value as they came, and the detail.
    """

    key: bytes | None
    value: bytes | None
    fate: str
    detail: str | None = None


@lru_cache(maxsize=64)
def live_decoder(source: LiveSource, schemas: Path | None = None) -> "LiveDecoder":
    """The decoder of a source, compiled once a process. Raises MappingError.

    `schemas` is as that of `fraudstream.messages.formats.payloads.payload_decoder`.
    """
    return LiveDecoder(MappedDecoder(mapping_of_text(source.text, source.file), schemas))


class LiveDecoder:
    """Maps and judges the messages of a topic."""

    def __init__(self, decoder: MappedDecoder) -> None:
        self._decode = decoder.decode
        self._kind = decoder.kind.value

    def read(
        self, key: bytes | None, value: bytes | None, size: int | None, appended_ms: int, max_future: timedelta
    ) -> Mapped:
        """The fate of a message; arguments are as those of `validation.decode`, but the key may be any.

        Raises RegistryUnavailableError where nothing can be said of it yet.
        """
        if value is None:
            return Mapped(key, None, SKIPPED)
        event = self._judged(value, size, appended_ms, max_future)
        if event is None:
            return Mapped(key, None, SKIPPED)
        if isinstance(event, Rejection):
            return Mapped(key, value, event.reason.value, event.detail)
        own = event.transaction_id if isinstance(event, Label) else event.customer_id
        return Mapped(own.encode(), _encode(event), self._kind)

    def _judged(
        self, value: bytes, size: int | None, appended_ms: int, max_future: timedelta
    ) -> Event | Rejection | None:
        size = len(value) if size is None else size
        if size > MAX_MESSAGE_BYTES:
            return Rejection(DeadLetterReason.TOO_LARGE, f"{size} bytes; at most {MAX_MESSAGE_BYTES}")
        event = self._decode(value)
        if event is None or isinstance(event, Rejection):
            return event
        at = event.labelled_at if isinstance(event, Label) else event.event_time
        return check_meaning(event, at, appended_ms, max_future) or event


def event_of(fate: str, value: bytes | None, detail: str | None) -> Event | Rejection | None:
    """The event of a message that was mapped, or why it was refused; None for one that is left out."""
    if (decode := _DECODERS.get(fate)) and value is not None:
        event: Event = decode(value)
        return event
    return None if fate == SKIPPED else Rejection(DeadLetterReason[fate], detail or "")
