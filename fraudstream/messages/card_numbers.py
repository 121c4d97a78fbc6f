"""Finds card numbers in the fields of an event, all of which are stored and published. Pure.

- A text, such as a promotion code or a city, holds a card number when `redaction` would mask a part of it.
- A token is random, and random hexadecimal characters have runs of digits: a number must begin as a payment scheme's
  do, and stand by itself or after a word such as `card`.
- An id must be written as on a card, in groups: one in ten of a shop's numeric ids passes the Luhn check, and each
  IMEI. An id without separators between its digits stays as it is, so that it can be joined.
"""

import re
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from fraudstream.messages.contracts import BrowseEvent, Event, Item, Label, Transaction
from fraudstream.messages.redaction import is_card_number

_SEPARATOR = "[ \\t\\xa0\\u2000-\\u2015-]"
_BEGINNING = "(?:[3-6][0-9]|2[2-7])"  # of Visa, Mastercard, American Express, Diners Club, JCB, Discover, UnionPay
#: Groups of 4-4-4-4, 4-6-5 (American Express) and 4-6-4 digits (Diners Club), as on the cards.
_GROUPS = (
    rf"{_BEGINNING}[0-9]{{2}}{_SEPARATOR}"
    rf"(?:[0-9]{{4}}{_SEPARATOR}[0-9]{{4}}{_SEPARATOR}[0-9]{{4}}|[0-9]{{6}}{_SEPARATOR}[0-9]{{4,5}})"
)
_IN_ID = re.compile(rf"(?<![0-9]){_GROUPS}(?![0-9])")
_IN_TOKEN = re.compile(
    "(?:(?<![0-9a-z-])|(?<=card)|(?<=card-)|(?<=pan)|(?<=pan-))"
    rf"(?:{_BEGINNING}[0-9]{{11,17}}|{_GROUPS})(?![0-9a-z])",
    re.IGNORECASE,
)
_TOKEN = "card_token"  # noqa: S105 (a name)


def _names(struct: type[Struct], *, ids: bool) -> tuple[str, ...]:
    """The fields of any text but the token: either the ids or the others."""
    schema = msgspec.json.schema(struct)["$defs"][struct.__name__]["properties"]
    choices = {name: (field, *field.get("anyOf", ())) for name, field in schema.items()}
    return tuple(
        name
        for name, kinds in choices.items()
        if name != _TOKEN
        and name.endswith("_id") is ids
        and any(kind.get("type") == "string" and not kind.keys() & {"pattern", "format"} for kind in kinds)
    )


_STRUCTS: tuple[type[Struct], ...] = (BrowseEvent, Transaction, Label, Item)
_TEXTS = {struct: _names(struct, ids=False) for struct in _STRUCTS}
_IDS = {struct: _names(struct, ids=True) for struct in _STRUCTS}


def field_with_card_number(event: Event) -> str:
    """The name of the first field of `event` that holds what passes for a card number; empty when none does."""
    kind = type(event)
    for name in _TEXTS[kind]:
        text = getattr(event, name)
        if text is not None and _passes(text):
            return name
    if isinstance(event, Transaction) and event.card_token is not None and _holds(_IN_TOKEN, event.card_token):
        return _TOKEN
    parts: list[Any] = [event, *event.items] if isinstance(event, Transaction) and event.items else [event]
    for part in parts:
        for name in _IDS[type(part)]:
            identifier = getattr(part, name)
            # without a separator there are no groups; most ids are spared the search
            if identifier is not None and not identifier.isalnum() and _is_id_a_card_number(identifier):
                return name
    return ""


# Cities, codes and sources repeat, and so do customers, sessions and devices.
_passes = lru_cache(maxsize=4096)(is_card_number)


@lru_cache(maxsize=16_384)
def _is_id_a_card_number(identifier: str) -> bool:
    return _holds(_IN_ID, identifier)


def _holds(form: re.Pattern[str], text: str) -> bool:
    return any(is_card_number(found) for found in form.findall(text))
