"""Decodes the JSON of an event. Pure, and the same at each step, so that what one step took no later one refuses."""

from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

EventT = TypeVar("EventT", bound=Struct)

_decode_anything = msgspec.json.Decoder().decode
#: msgspec's complaint about `1.0` where an integer belongs, which is one for JSON Schema.
_FLOAT_FOR_INTEGER = "`int`, got `float`"
#: Beyond it, floats skip integers.
_MAX_EXACT = 2**53
#: Levels of the contracts' objects: a transaction, its list of items, an item's fields.
_LEVELS = 3


class EventDecoder(Generic[EventT]):
    """Decodes one type of event; a whole number written with a point, or an exponent, is an integer."""

    def __init__(self, struct: type[EventT]) -> None:
        self._struct = struct
        self._decode = msgspec.json.Decoder(struct).decode

    def decode(self, value: bytes) -> EventT:
        """The event. Raises msgspec.DecodeError, UnicodeDecodeError or RecursionError."""
        try:
            return self._decode(value)
        except msgspec.ValidationError as error:
            if _FLOAT_FOR_INTEGER not in str(error):
                raise
        # msgspec has no mode that takes `1.0` and refuses `"1"`; the second look costs only who writes integers so
        return msgspec.convert(_with_integers(_decode_anything(value), _LEVELS), self._struct)


def _with_integers(value: Any, levels: int) -> Any:
    """`value` with whole numbers as integers, which float fields take, too; what lies deeper stays as it is."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _MAX_EXACT else value
    if levels and isinstance(value, dict):
        return {name: _with_integers(each, levels - 1) for name, each in value.items()}
    if levels and isinstance(value, list):
        return [_with_integers(each, levels - 1) for each in value]
    return value
