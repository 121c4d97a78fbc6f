"""Cuts what a micro-batch would carry for nobody, on the worker that meets it: the driver has to hold the whole."""

from typing import TYPE_CHECKING

import msgspec

from fraudstream.messages.contracts import Event
from fraudstream.messages.redaction import redact
from fraudstream.messages.refusal import Rejection
from fraudstream.messages.validation import MAX_MESSAGE_BYTES, TOO_LARGE_KEPT_BYTES

if TYPE_CHECKING:
    from spark_jobs.bucket import Message, Outcome

#: Refused values of a micro-batch that are handed on whole, by all of its tasks together.
MAX_REFUSED_BYTES = 64 * 1024 * 1024
#: Values of accepted messages above this are written anew, with the contract's fields alone.
SURPLUS_BYTES = 4 * 1024

_encode = msgspec.json.Encoder().encode


def without_surplus(message: "Message", event: Event | Rejection | None) -> "Message":
    """The message without the unknown fields and white space of a large value; what it decodes to stays the same."""
    value = message.value
    if value is None or event is None or len(value) <= SURPLUS_BYTES:
        return message
    if not isinstance(event, Rejection):
        return message._replace(value=_encode(event), cut=True)
    if (message.size or len(value)) > MAX_MESSAGE_BYTES:
        return message._replace(value=redact(value, TOO_LARGE_KEPT_BYTES), cut=True)
    return message


class Room:
    """Room for the refused values of one task. Those that come when it is used up are cut to their beginning.

    Kafka still holds them whole. Which of them are cut may differ when a task is repeated: nothing of it is committed.
    """

    def __init__(self, size: int) -> None:
        self._left = size

    def fit(self, outcome: "Outcome") -> "Outcome":
        """The outcome, with its value cut when it is refused and there is no room."""
        value = outcome.value
        if outcome.reason is None or value is None or len(value) <= TOO_LARGE_KEPT_BYTES:
            return outcome
        if len(value) > self._left:
            return outcome._replace(value=redact(value, TOO_LARGE_KEPT_BYTES), cut=True)
        self._left -= len(value)
        return outcome
