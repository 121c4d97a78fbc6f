"""Names why a message is refused. The slow path of `validation`: looks again at what the decoder didn't take."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import msgspec

from fraudstream.messages.contracts import (
    SCHEMA_VERSION,
    BrowseEvent,
    BrowseEventType,
    Event,
    Identifier,
    Item,
    Label,
    LabelSource,
    PaymentMethod,
    Shop,
    Transaction,
)
from fraudstream.messages.decoding import EventDecoder
from fraudstream.messages.reasons import DeadLetterReason as Reason


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a message was refused: a stable code, and a detail for people, which may quote the message."""

    reason: Reason
    detail: str


class _Header(msgspec.Struct):
    schema_version: Any = msgspec.UNSET


_HEADER_DECODER = msgspec.json.Decoder(_Header)

# --- tables: the first entry that applies decides ------------------------------------------------------------------

#: Beginnings of values that aren't JSON.
_BEGINNINGS = (
    ((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff"), Reason.BYTE_ORDER_MARK),
    ((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"), Reason.COMPRESSED_VALUE),
    ((b"\0",), Reason.SCHEMA_REGISTRY_FRAME),
)
#: Contents of values that aren't JSON.
_CONTENTS = (
    (re.compile(rb"[:\[,]\s*[-+]?(?:NaN|Infinity|inf|nan)\b"), Reason.NOT_FINITE, "a number is NaN or infinite"),
    (
        re.compile(rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]"),
        Reason.LONE_SURROGATE,
        "a string has half of a surrogate pair",
    ),
)
#: Words of the decoder's complaint about a value that isn't JSON.
_SYNTAX = (
    ("truncated", Reason.TRUNCATED_JSON),
    ("trailing characters", Reason.TRAILING_DATA),
    ("recursion", Reason.TOO_DEEP),
    ("", Reason.MALFORMED_JSON),
)
#: Words of the decoder's complaint about a field, whichever it is.
_PROBLEMS = (
    ("missing required field", Reason.MISSING_FIELD),
    ("got `null`", Reason.NULL_FIELD),
    ("`datetime` with a timezone", Reason.NO_TIME_ZONE),
    ("RFC3339", Reason.INVALID_TIME),
    ("`datetime`, got `int`", Reason.TIME_AS_NUMBER),
    ("`datetime`, got `float`", Reason.TIME_AS_NUMBER),
    ("`int`, got `float`", Reason.INVALID_QUANTITY),  # the one field that is an integer
    ("`int`, got `str`", Reason.NUMBER_AS_TEXT),
    ("`float`, got `str`", Reason.NUMBER_AS_TEXT),
    ("`float | null`, got `str`", Reason.NUMBER_AS_TEXT),
    (", got `", Reason.WRONG_TYPE),
    ("Number out of range", Reason.NOT_FINITE),
)
#: Fields whose value is out of its domain, by words of the complaint.
_IDENTIFIERS = {
    field.name
    for struct in (BrowseEvent, Transaction, Item, Label)
    for field in msgspec.structs.fields(struct)
    if {Identifier, BrowseEventType, PaymentMethod, LabelSource, Shop} & {field.type, *get_args(field.type)}
}
_DOMAINS = (
    ({"amount", "promo_amount", "shipping_fee"}, "", Reason.INVALID_AMOUNT),
    ({"unit_price"}, "", Reason.INVALID_PRICE),
    ({"quantity"}, "", Reason.INVALID_QUANTITY),
    ({"currency"}, "", Reason.INVALID_CURRENCY),
    ({"shipping_country", "ip_country"}, "", Reason.INVALID_COUNTRY),
    ({"shipping_latitude", "shipping_longitude"}, "", Reason.INVALID_COORDINATES),
    ({"items"}, ">=", Reason.NO_ITEMS),
    ({"items"}, "<=", Reason.TOO_MANY_ITEMS),
    (_IDENTIFIERS, ">=", Reason.EMPTY_IDENTIFIER),
    (_IDENTIFIERS, "<=", Reason.IDENTIFIER_TOO_LONG),
)


class _Complaint(NamedTuple):
    """The decoder's complaint about a field; `field` is the last name in its path, or the one that is missing."""

    problem: str
    field: str


# --- steps --------------------------------------------------------------------------------------------------------


def explain_key(key: bytes, expected: str) -> Rejection:
    """Names the reason why `key` isn't `expected`, the event's own id."""
    if not key:
        return Rejection(Reason.EMPTY_KEY, "the key is empty")
    try:
        key.decode()
    except UnicodeDecodeError as error:
        return Rejection(Reason.KEY_NOT_UTF8, str(error))
    return Rejection(Reason.KEY_MISMATCH, f"the key isn't the event's own, {expected!r}")


def explain(topic: str, value: bytes, error: Exception, decoders: Mapping[str, EventDecoder[Event]]) -> Rejection:
    """Names the reason of a failed decode. `decoders` are those of all topics."""
    if not isinstance(error, msgspec.ValidationError):
        return explain_syntax(value, str(error))
    return _explain_version(value) or _explain_field(topic, value, _complaint(str(error)), str(error), decoders)


def explain_fields(message: str) -> Rejection:
    """Names the reason why fields aren't those of an event. `message` is msgspec's complaint."""
    return Rejection(_reason(_complaint(message)), message)


def explain_syntax(value: bytes, message: str) -> Rejection:
    """Names the reason why `value` isn't JSON. `message` is msgspec's complaint."""
    for beginnings, reason in _BEGINNINGS:
        if value.startswith(beginnings):
            return Rejection(reason, f"the value begins with the bytes {value[:4].hex(' ').upper()}")
    if not value.strip():
        return Rejection(Reason.BLANK_VALUE, f"{len(value)} bytes, and none but white space")
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return Rejection(Reason.INVALID_UTF8, str(error))
    for content, reason, detail in _CONTENTS:
        if content.search(value):
            return Rejection(reason, detail)
    if message.endswith(f"(byte {len(value)})"):
        return Rejection(Reason.TRUNCATED_JSON, message)  # such as a number that ends with its point
    return Rejection(next(reason for words, reason in _SYNTAX if words in message), message)


def _explain_version(value: bytes) -> Rejection | None:
    try:
        version = _HEADER_DECODER.decode(value).schema_version
    except msgspec.ValidationError:
        return Rejection(Reason.NOT_AN_OBJECT, "the value is JSON, but not an object")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return explain_syntax(value, str(error))  # after the field that the decoder stopped at
    if version is msgspec.UNSET:
        return Rejection(Reason.MISSING_VERSION, "no schema_version")
    if type(version) not in (int, float) or version != SCHEMA_VERSION:
        shown = repr(version)[:40]
        return Rejection(Reason.UNSUPPORTED_VERSION, f"schema_version {shown}; known: {SCHEMA_VERSION}")
    return None


def _explain_field(
    topic: str,
    value: bytes,
    complaint: _Complaint,
    message: str,
    decoders: Mapping[str, EventDecoder[Event]],
) -> Rejection:
    reason = _reason(complaint)
    if reason is Reason.MISSING_FIELD:
        other = next((name for name, decoder in decoders.items() if name != topic and _decodes(decoder, value)), None)
        if other:
            return Rejection(Reason.WRONG_TOPIC, f"a valid event of the topic {other}")
    elif _is_given_twice(value, complaint.field):
        return Rejection(Reason.DUPLICATE_FIELD, f"`{complaint.field}` is given twice: {message}")
    return Rejection(reason, message)


def _reason(complaint: _Complaint) -> Reason:
    for words, reason in _PROBLEMS:
        if words in complaint.problem:
            return reason
    for fields, words, reason in _DOMAINS:
        if complaint.field in fields and words in complaint.problem:
            return reason
    return Reason.INVALID_VALUE


def _complaint(message: str) -> _Complaint:
    """From such as "Expected `int` >= 1 - at `$.items[0].quantity`"."""
    problem, _, path = message.rpartition(" - at `$")
    if not problem:
        return _Complaint(message, "")
    names = re.findall(r"\.(\w+)", path)
    return _Complaint(problem, names[-1] if names else "")


def _decodes(decoder: EventDecoder[Event], value: bytes) -> bool:
    try:
        decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _is_given_twice(value: bytes, field: str) -> bool:
    """True when an object in `value` has `field` more than once."""
    found = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or Counter(name for name, _ in pairs)[field] > 1

    try:
        json.loads(value, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return False  # not JSON after the refused field
    return found
