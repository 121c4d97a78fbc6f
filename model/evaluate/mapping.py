"""The mapping of a labelled history: a mapping file, or well-known names and what is found out of the values."""

import tomllib
from collections.abc import Mapping as Table
from datetime import date, datetime
from pathlib import Path
from typing import Any

from fraudstream.mappings.detect import detect
from fraudstream.mappings.files import columns, parts
from fraudstream.mappings.suggest import Suggestion, suggest
from fraudstream.messages.mapping.fields import Kind
from fraudstream.messages.mapping.file import Mapping, MappingError, of, read_mapping

#: Each field's names that need no mapping: the platform's own and those of the Fraud Detection Handbook.
WELL_KNOWN = {
    "transaction_id": ("transaction_id", "TRANSACTION_ID"),
    "event_time": ("event_time", "TX_DATETIME"),
    "customer_id": ("customer_id", "CUSTOMER_ID"),
    "terminal_id": ("device_id", "terminal_id", "TERMINAL_ID"),
    "amount": ("amount", "TX_AMOUNT"),
    "currency": ("currency",),
    "is_fraud": ("is_fraud", "TX_FRAUD"),
}
#: What a history may lack, and what comes of it.
OPTIONAL = {
    "transaction_id": "the row's number is the id, so that a repeated transaction isn't noticed",
    "terminal_id": "evaluated without the terminal's features",
}
_MAY_LACK = (*OPTIONAL, "currency")  # without a currency, all amounts are in one
#: Keys of the short form of a mapping file, which names columns and leaves the rest to be found out.
_SHORT_KEYS = (
    "encoding", "separator", "decimal", "time_format", "time_unit", "time_start", "time_zone", "fraud_values",
    "legitimate_values", "columns",
)  # fmt: skip
_UNITS = ("days", "hours", "minutes", "seconds", "milliseconds")


def mapping_of(path: Path, file: Path | None = None, *, is_labelled: bool = True) -> Mapping:
    """The mapping of the history at `path`: of `file`, in its full or short form, or found out.

    One whose labels are elsewhere (not `is_labelled`) needs no column for them, but ids that they can name.

    Raises MappingError, and DataError for a file that can't be read.
    """
    mapping = _mapping_of(path, file, is_labelled)
    identifier = mapping.field("transaction_id")
    if not is_labelled and (identifier is None or identifier.row):
        raise MappingError(f"{file or path} has no column for transaction_id, by which --labels names transactions")
    return mapping


def _mapping_of(path: Path, file: Path | None, is_labelled: bool) -> Mapping:
    if file is None:
        return _found_out(path, {}, "", is_labelled)
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MappingError(f"can't read the mapping {file}: {error}") from error
    if "source" in content or "fields" in content:
        mapping = read_mapping(file)
        if mapping.source.kind is not Kind.TRANSACTION or (is_labelled and mapping.field("is_fraud") is None):
            raise MappingError(
                f"mapping {file}: a labelled history needs kind = 'transaction' and fields.is_fraud, or --labels FILE"
            )
        return mapping
    return _found_out(path, content, f"mapping {file}, ", is_labelled)


def _found_out(path: Path, short: dict[str, Any], where: str, is_labelled: bool) -> Mapping:
    for key in short:
        if key not in _SHORT_KEYS:
            raise MappingError(f"{where}key {key}: unknown; known: {', '.join(_SHORT_KEYS)}, or [source] and [fields]")
    named = short.get("columns", {})
    if not isinstance(named, dict) or not named.keys() <= WELL_KNOWN.keys():
        unknown = next(iter(named.keys() - WELL_KNOWN.keys())) if isinstance(named, dict) else named
        raise MappingError(f"{where}key columns.{unknown}: unknown; known: {', '.join(WELL_KNOWN)}")
    source = detect(path) | {key: short[key] for key in ("encoding", "separator") if key in short}
    chosen = _choose(path, source, named, _MAY_LACK if is_labelled else (*_MAY_LACK, "is_fraud"))
    found = suggest(path, Kind.TRANSACTION, {role: (name,) for role, name in chosen.items()}, source)
    return of(_settled(found, short, chosen, path, where), f"{where}of {path}" if where else f"{path}")


def _settled(
    found: Suggestion, short: dict[str, Any], chosen: Table[str, str], path: Path, where: str
) -> dict[str, Any]:
    """What was found out, with what the short form says in its place."""
    content = found.content
    doubts = dict(found.doubts)
    fields = content["fields"]
    fields.update((role, name) for role, name in chosen.items() if role not in fields)
    if "decimal" in short:
        content["source"]["decimal"] = short["decimal"]
        fields["amount"] = chosen["amount"]
        doubts.pop("amount", None)
    if "time_zone" in short:
        content["source"]["zone"] = short["time_zone"]
    if form := _time_form(short, where):
        fields["event_time"] = {"path": chosen["event_time"], "time": form}
        doubts.pop("event_time", None)
    if "fraud_values" in short or "legitimate_values" in short:
        lists = {"fraud": short.get("fraud_values", []), "legitimate": short.get("legitimate_values", [])}
        content["labels"] = lists
    for name, doubt in doubts.items():
        raise MappingError(f"{path}, {name} (from `{chosen[name]}`): {doubt}")
    return content


def _time_form(short: dict[str, Any], where: str) -> str | None:
    if "time_unit" not in short:
        form: str | None = short.get("time_format")
        return form
    unit, start = short["time_unit"], short.get("time_start", date(1970, 1, 1))
    if unit not in _UNITS or not isinstance(start, date | datetime):
        raise MappingError(f"{where}key time_unit: {unit!r} since {start!r}: one of {', '.join(_UNITS)}, since a date")
    return f"{unit} since {start.isoformat()}"


def _choose(path: Path, source: dict[str, Any], named: dict[str, str], may_lack: tuple[str, ...]) -> dict[str, str]:
    """The column of each role; one of `may_lack` that has none is left out. Raises MappingError."""
    blank = of({"source": {"kind": "transaction", **source}, "fields": {}})
    present = columns(parts(path)[0], blank.source)
    if source["format"] not in {"csv", "parquet"}:
        return {role: named.get(role) or names[0] for role, names in WELL_KNOWN.items() if named.get(role) != ""}
    chosen = {role: _column(role, named.get(role), present, path, role in may_lack) for role in WELL_KNOWN}
    return {role: name for role, name in chosen.items() if name is not None}


def _column(role: str, named: str | None, present: list[str], path: Path, may_lack: bool) -> str | None:
    if named == "" and may_lack and "" not in present:
        return None
    candidates = WELL_KNOWN[role] if named is None else (named,)
    found = [name for name in present if name.strip() in candidates]
    if len(found) == 1:
        return found[0]
    if found:
        raise MappingError(
            f"{path} has several columns for {role} ({', '.join(found)}): name one in a mapping file, as {role} under "
            "[columns]"
        )
    if named is None and may_lack:
        return None
    raise MappingError(
        f"{path} has no column {' or '.join(candidates)} for {role}; it has {', '.join(present)}: name the right one "
        f"in a mapping file, as {role} under [columns], or begin with ./fraudctl mapping suggest {path}"
    )
