"""JSON, as the value of a message."""

from typing import Any

import msgspec

from fraudstream.messages.formats.errors import PayloadError
from fraudstream.messages.refusal import explain_syntax

_decode = msgspec.json.Decoder().decode


def read_json(value: bytes) -> Any:
    """What a text in JSON says. Raises PayloadError."""
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError(explain_syntax(value, str(error))) from None
