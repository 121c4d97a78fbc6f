"""Debezium's envelope: a change of a database's row, as the row that it left behind."""

import base64
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from fraudstream.messages.formats.errors import refused
from fraudstream.messages.mapping.file import Source
from fraudstream.messages.reasons import DeadLetterReason

#: Letters of `op`, and the operations of `source.operations`; with the others, there is no row to read.
OPERATIONS = {"c": "create", "u": "update", "r": "read"}
_NO_ROW = frozenset({"d", "t", "m"})  # delete, truncate, message
_DECIMAL = "org.apache.kafka.connect.data.Decimal"
_VARIABLE_DECIMAL = "io.debezium.data.VariableScaleDecimal"
_WRAPPER = {"schema", "payload"}
_ODD = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
_UNSCALED = {"scale", "value"}


def opener(source: Source) -> Callable[[Any], Any]:
    """A function from an envelope to its row; None for a delete, a tombstone, and operations that don't count.

    It raises PayloadError for what is no envelope. Without `source.envelope`, it gives what it gets.
    """
    if source.envelope is None:
        return lambda record: record
    counts = frozenset(source.operations)

    def row(record: Any) -> Any:
        schema, change = _unwrapped(record)
        if change is None:
            return None
        operation = _operation(change)
        if operation in _NO_ROW:
            return None
        if operation not in OPERATIONS or "after" not in change:
            raise _no_envelope("has no `op` of c, u, r or d with the row in `after`")
        if OPERATIONS[operation] not in counts:
            return None
        after = _after(change["after"])
        try:
            return _with_decimals(after, schema)
        except _ODD:
            raise _no_envelope("has a decimal, or a schema of one, that can't be read") from None

    return row


def is_envelope(record: Any) -> bool:
    """Whether a record is a change, with or without a row."""
    _, change = _unwrapped(record)
    operation = _operation(change)
    return (operation in OPERATIONS or operation in _NO_ROW) and "source" in change


def _unwrapped(record: Any) -> tuple[Any, Any]:
    """The wrapper's schema, if there is one, and the change."""
    if isinstance(record, dict) and record.keys() == _WRAPPER:
        return record["schema"], record["payload"]
    return None, record


def _operation(change: Any) -> str | None:
    operation = change.get("op") if isinstance(change, dict) else None
    return operation if isinstance(operation, str) else None


def _after(after: Any) -> dict[str, Any]:
    """The row, which MongoDB's connector writes as text in JSON."""
    if isinstance(after, str):
        try:
            after = msgspec.json.decode(after)
        except (msgspec.DecodeError, RecursionError):
            raise _no_envelope("has text in `after` that is no JSON") from None
    if not isinstance(after, dict):
        raise _no_envelope("has no row in `after`: have the connector send whole rows")
    return after


def _no_envelope(problem: str) -> Exception:
    return refused(DeadLetterReason.NOT_AN_ENVELOPE, f"the message {problem}")


def _with_decimals(row: dict[str, Any], schema: Any) -> dict[str, Any]:
    """The row with its decimals as such: their bytes come with their scale, in the wrapper's schema or beside them."""
    scales = _scales(schema)
    changed = {
        name: value
        for name, each in row.items()
        if (name in scales or isinstance(each, dict)) and (value := _decimal(each, scales.get(name))) is not None
    }
    return row | changed if changed else row


def _scales(schema: Any) -> dict[str, int | None]:
    """The decimals of a row: the digits behind their point, or None for those that each bring their own."""
    fields = [field for field in _fields_of(schema) if field.get("field") == "after"]
    found: dict[str, int | None] = {}
    for field in _fields_of(fields[0]) if fields else ():
        if field.get("name") == _DECIMAL:
            found[field["field"]] = int(field["parameters"]["scale"])
        elif field.get("name") == _VARIABLE_DECIMAL:
            found[field["field"]] = None
    return found


def _fields_of(schema: Any) -> list[dict[str, Any]]:
    return (schema.get("fields") or []) if isinstance(schema, dict) else []


def _decimal(value: Any, scale: int | None) -> Decimal | None:
    if isinstance(value, dict) and value.keys() == _UNSCALED:
        value, scale = value["value"], value["scale"]
    if isinstance(value, str):
        value = base64.b64decode(value)
    if not isinstance(value, bytes) or not isinstance(scale, int):
        return None
    return Decimal(int.from_bytes(value, signed=True)).scaleb(-scale)
