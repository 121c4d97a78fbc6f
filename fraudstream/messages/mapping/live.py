"""A live source's messages: each becomes one of our own form, is refused, or is left out. Pure, as `validation` is.

What is judged here passes again whatever reads it later: the value that is handed on is our own form, written by us.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from fraudstream.messages.contracts import BrowseEvent, Event, Label, Transaction
from fraudstream.messages.mapping.decoding import MappedDecoder
from fraudstream.messages.mapping.fields import Kind
from fraudstream.messages.mapping.file import mapping_of_text
from fraudstream.messages.mapping.sources import LiveSource
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.refusal import Rejection
from fraudstream.messages.trusted import trusting_decoder
from fraudstream.messages.validation import MAX_MESSAGE_BYTES, check_meaning

#: The fate of a message that `[where]` leaves out, or that has no value: nothing to read, and nothing wrong with it.
SKIPPED: Final = "skipped"

_encode = msgspec.json.Encoder().encode
_DECODERS: dict[str, Callable[[bytes], Any]] = {
    Kind.TRANSACTION.value: trusting_decoder(Transaction),
    Kind.BROWSE.value: trusting_decoder(BrowseEvent),
    Kind.LABEL.value: trusting_decoder(Label),
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
        size = len(value) if size is None else size
        if size > MAX_MESSAGE_BYTES:
            return _refused(
                key, value, Rejection(DeadLetterReason.TOO_LARGE, f"{size} bytes; at most {MAX_MESSAGE_BYTES}")
            )
        event = self._decode(value)
        if event is None:
            return Mapped(key, None, SKIPPED)
        if isinstance(event, Rejection):
            return _refused(key, value, event)
        if isinstance(event, Label):
            own, at = event.transaction_id, event.labelled_at
        else:
            own, at = event.customer_id, event.event_time
        if meaningless := check_meaning(event, at, appended_ms, max_future):
            return _refused(key, value, meaningless)
        return Mapped(own.encode(), _encode(event), self._kind)


def _refused(key: bytes | None, value: bytes, refusal: Rejection) -> Mapped:
    return Mapped(key, value, refusal.reason.value, refusal.detail)


def event_of(fate: str, value: bytes | None, detail: str | None) -> Event | Rejection | None:
    """The event of a message that was mapped, or why it was refused; None for one that is left out."""
    if (decode := _DECODERS.get(fate)) and value is not None:
        event: Event = decode(value)
        return event
    return None if fate == SKIPPED else Rejection(DeadLetterReason[fate], detail or "")
