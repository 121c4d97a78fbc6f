"""The first mapping of a file, guessed from its names and values."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from fraudstream.mappings import countries, guesses
from fraudstream.mappings.detect import detect
from fraudstream.mappings.files import DataError, Row, read_rows
from fraudstream.messages.formats.debezium import is_envelope
from fraudstream.messages.mapping import values
from fraudstream.messages.mapping.fields import COORDINATES, FIELDS, PLACE, Kind, ValueType
from fraudstream.messages.mapping.file import Mapping, of
from fraudstream.messages.mapping.times import ISO
from fraudstream.messages.redaction import is_card_number

SAMPLE_ROWS = 10_000
_LABEL_WORDS = 20  # more different values are no labels
_TIMES_LOOKED_AT = 500  # patterns of strptime are slow to try
#: Values that stand for nothing, if no other text is in a column of numbers or times.
_NOTHING = ("", "NULL", "null", "\\N", "None", "nan", "NaN", "N/A", "n/a", "-")

#: What to do where the columns don't tell what the rows are.
_KINDS = "say --kind transaction for orders, --kind label for chargebacks, --kind browse for clicks"

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Suggestion:
    """The content of a mapping file, what is doubtful about a field, by its name, and values of what isn't mapped."""

    content: dict[str, Any]
    doubts: dict[str, str]
    unused: dict[str, Any]


def suggest(
    path: Path,
    kind: Kind | None = None,
    names: Table[str, Sequence[str]] | None = None,
    source: dict[str, Any] | None = None,
) -> Suggestion:
    """The first mapping of `path`. Raises DataError.

    `names`: the only columns that a field may have, instead of all that it may be called like. `source`: how the file
    is written, where that is known.
    """
    return suggest_from(partial(_records, path), str(path), source or detect(path), kind, names)


def suggest_from(
    read: Callable[[dict[str, Any]], Sequence[dict[str, Any]]],
    where: str,
    source: dict[str, Any],
    kind: Kind | None = None,
    names: Table[str, Sequence[str]] | None = None,
) -> Suggestion:
    """The first mapping of the records that `read` finds `where`, written as a `source` says. Raises DataError."""
    records = read(source)
    if records and all(map(is_envelope, records)):
        source = source | {"envelope": "debezium"}
        records = read(source)
    if not records:
        raise DataError(f"{where} has no record that can be read, to guess a mapping from")
    columns, lists = _columns(records, nested=source["format"] != "csv")
    doubts = {}
    if kind is None:
        kind, is_sure = _kind(columns)
        doubts = {} if is_sure else {"kind": f"the columns don't tell it, {kind} is a guess: {_KINDS}"}
    guess = _Guess(kind, source, columns, lists, names)
    content = guess.content()
    return Suggestion(content, doubts | guess.doubts, _unused(columns, content))


def _records(path: Path, source: dict[str, Any]) -> list[dict[str, Any]]:
    return objects(islice(read_rows(path, blank(source)), SAMPLE_ROWS))


def objects(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The records of those rows that are objects."""
    return [row.record for row in rows if isinstance(row.record, dict)]


def blank(source: dict[str, Any]) -> Mapping:
    """A mapping that only reads, as `source` says. Raises MappingError."""
    return of({"source": {"kind": "transaction", **source}, "fields": {}})


def to_mapping(content: dict[str, Any]) -> Mapping:
    """The mapping with this content. Raises MappingError."""
    return of(content, "the suggested mapping")


def to_toml(content: dict[str, Any]) -> str:
    """The content as a mapping file."""
    return "\n\n".join("\n".join(_section(name, table)) for name, table in content.items()) + "\n"


class _Guess:
    """A guess at a mapping of `columns`, values by path, and `lists`, columns of the objects of each list."""

    def __init__(
        self,
        kind: Kind,
        source: dict[str, Any],
        columns: Columns,
        lists: dict[str, Columns],
        names: Table[str, Sequence[str]] | None,
    ) -> None:
        self._kind, self._source, self._columns, self._lists, self._names = kind, source, columns, lists, names
        self._decimal = "."
        self._labels: dict[str, Any] = {}
        self.doubts: dict[str, str] = {}

    def content(self) -> dict[str, Any]:
        fields = dict(self._fields())
        source = {"kind": str(self._kind), **self._source}
        if self._decimal != ".":
            source["decimal"] = self._decimal
        if fields.keys() >= set(PLACE) and not fields.keys() & set(COORDINATES):
            source["city_coordinates"] = True
        found = {"source": source, "fields": fields}
        if items := self._items():
            found["items"] = items
        if self._labels:
            found["labels"] = self._labels
        return found

    def _fields(self) -> Iterator[tuple[str, Any]]:
        used = {path for path, column in self._columns.items() if all(value in (None, "") for value in column)}
        for name, kind in FIELDS[self._kind].items():
            free = [path for path in self._columns if path not in used or self._names is not None]
            path = self._named(name, free)
            value = self._value(name, kind, path) if path else None
            if value is not None and path:
                used.add(path)
                yield name, value
            elif (value := self._without_column(name)) is not None:
                yield name, value

    def _without_column(self, name: str) -> Any:
        """The source of a field for which no single column will do."""
        if name == "transaction_id" and self._kind is Kind.TRANSACTION and self._source["format"] in {"csv", "parquet"}:
            return self._number_of_rows()
        if name == "is_fraud" and self._kind is Kind.LABEL:
            self.doubts[name] = "no column says it: each row counts as fraud"
            return {"constant": True}
        return self._date_parts() if name == "event_time" and self._names is None else None

    def _number_of_rows(self) -> Any:
        """What tells rows apart where no column is called like it: their numbers."""
        if self._names is not None:
            return {"row": True}
        unlike = next((path for path, column in self._columns.items() if _is_number(path, column)), None)
        hint = f"; all values of `{unlike}` differ" if unlike else ""
        self.doubts["transaction_id"] = f"no column is called like it: rows are numbered, which no label can name{hint}"
        return {"row": True}

    def _date_parts(self) -> Any:
        """A time in columns of year, month and day, and one of the time of day if there is one."""
        called = {guesses.plain(path): path for path in self._columns}
        parts = [called[part] for part in ("year", "month", "day") if part in called]
        if len(parts) < 3:
            return None
        clock = next((called[name] for name in guesses.TIMES_OF_DAY if name in called), None)
        values_of_all = zip(*(self._columns[path] for path in (*parts, *([clock] if clock else []))), strict=True)
        texts = [" ".join(map(str, each)) for each in islice(values_of_all, _TIMES_LOOKED_AT)]
        form = next((each for each in guesses.DATE_PARTS if guesses.fits(each, texts, "UTC")), None)
        return form and {"path": [*parts, *([clock] if clock else [])], "join": " ", "time": form}

    def _named(self, name: str, paths: Sequence[str]) -> str | None:
        if self._names is None:
            # of a transaction, "source" is where the shopper came from
            unlikely = name == "source" and self._kind is Kind.TRANSACTION
            return guesses.by_name(name, paths) if name in guesses.NAMES and not unlikely else None
        known = self._names.get(name, ())
        return next((path for path in paths if path.strip() in known), None)

    def _value(self, name: str, kind: ValueType, path: str) -> Any:
        """A field's source; None when its values aren't what the field needs."""
        found = [value for value in self._columns[path] if value is not None and str(value).strip() not in _NOTHING]
        if not found:
            return None
        if kind is ValueType.TIME:
            real = [value for value in found if not str(value).startswith(guesses.PLACEHOLDERS)]
            return self._with_missing(path, self._time(name, path, real or found))
        if kind is ValueType.MONEY:
            return self._with_missing(path, self._money(name, path, found))
        if kind is ValueType.NUMBER:
            return path if guesses.decimal_mark(found) == "." else None
        if kind is ValueType.LABEL:
            return self._label(path)
        if name == "transaction_id" and self._kind is Kind.TRANSACTION and self._names is None:
            return path if len(set(map(str, found))) == len(self._columns[path]) else None
        if name in {"shipping_country", "ip_country"} and self._names is None:
            return self._with_missing(path, self._country(name, path, found))
        if name == "card_token" and any(is_card_number(str(value)) for value in found):
            self.doubts[name] = (
                f"`{path}` has card numbers, which the platform refuses: map a token of the card, or none"
            )
            return None
        if name == "currency" and any(len(str(value)) != 3 for value in found):
            return None
        if name == "currency" and any(str(value) != str(value).upper() for value in found):
            return {"path": path, "case": "upper"}
        return path

    def _with_missing(self, path: str, value: Any) -> Any:
        """The field's source, with the words that stand for nothing in its column."""
        words = sorted({each for each in self._columns[path] if isinstance(each, str) and each in _NOTHING} - {""})
        if value is None or not words:
            return value
        return ({"path": value} if isinstance(value, str) else value) | {"missing": ["", *words]}

    def _time(self, name: str, path: str, found: list[Any]) -> Any:
        looked_at = found[:: max(1, len(found) // _TIMES_LOOKED_AT)]
        form = guesses.time_form(looked_at, "UTC")
        if form is None:
            return path if self._names is not None else None
        if doubt := guesses.time_doubt(form, looked_at):
            self.doubts[name] = doubt
        self._doubt_zone(form, looked_at)
        days_only = all(isinstance(value, str) and ":" not in value for value in looked_at)
        if days_only and (clock := self._time_of_day(path)):
            values_of_both = [f"{day} {time}" for day, time in zip(*map(self._columns.get, (path, clock)), strict=True)]
            both = guesses.time_form(values_of_both[:: max(1, len(values_of_both) // _TIMES_LOOKED_AT)], "UTC")
            if both:
                self._doubt_zone(both, values_of_both[:_TIMES_LOOKED_AT])
                return {"path": [path, clock], "join": " "} | ({} if both == ISO else {"time": both})
        return path if form == ISO else {"path": path, "time": form}

    def _doubt_zone(self, form: str, found: Sequence[Any]) -> None:
        if self._names is None and guesses.lacks_zone(form, found):
            self.doubts.setdefault("zone", "no time says its own, UTC is taken: say zone = 'Europe/Zurich', or yours")

    def _time_of_day(self, path: str) -> str | None:
        for each, column in self._columns.items():
            if each != path and guesses.plain(each) in guesses.TIMES_OF_DAY and ":" in str(column[0]):
                return each
        return None

    def _money(self, name: str, path: str, found: list[Any]) -> Any:
        mark = guesses.decimal_mark(found)
        if mark is None and self._names is None:
            return None
        if name == "amount" and mark:
            self._decimal = mark
        if self._names is None and name == "amount" and all(type(value) is int for value in found):
            self.doubts[name] = "whole numbers: say unit = 'minor' where they are cents"
        if doubt := guesses.decimal_doubt(found):
            self.doubts[name] = doubt
        spelled = guesses.plain(path)
        unit = next((unit for word, unit in (("cents", "cents"), ("minor", "minor")) if spelled.endswith(word)), None)
        if unit:
            return {"path": path, "unit": unit}
        return path if mark in (None, self._decimal) else {"path": path, "decimal": mark}

    def _country(self, name: str, path: str, found: list[Any]) -> Any:
        words = sorted({str(value).strip() for value in found})
        if all(re.fullmatch("[A-Za-z]{2}", word) for word in words):
            return path if all(map(str.isupper, words)) else {"path": path, "case": "upper"}
        if codes := countries.codes_of(words):
            return {"path": path, "map": codes}
        unknown = next(word for word in words if not countries.codes_of([word]))
        self.doubts[name] = f'`{path}` has {unknown!r}: give each country its two letters, as map = {{ Suisse = "CH" }}'
        return None

    def _label(self, path: str) -> Any:
        words = {values.word("" if value is None else value) for value in self._columns[path]}
        if words <= values.WORDS.keys() or (self._names is not None and self._names.get("is_fraud")):
            return path
        says_yes = words <= guesses.YES_WORDS | guesses.NO_WORDS
        fraud = sorted(word for word in words if (word in guesses.YES_WORDS if says_yes else guesses.means_fraud(word)))
        if not fraud or len(words) > _LABEL_WORDS:
            return None
        self._labels = {"fraud": fraud, "legitimate": sorted(words - set(fraud))}
        if not says_yes:
            told = ", ".join(map(repr, fraud))
            self.doubts["is_fraud"] = f"of `{path}`, {told} counts as fraud, and all else as legitimate: see [labels]"
        return path

    def _items(self) -> dict[str, Any]:
        for path, columns in self._lists.items():
            if self._kind is Kind.TRANSACTION and guesses.plain(path.rpartition(".")[2]) in guesses.ITEM_LISTS:
                inner = {
                    name: guesses.by_name(name, list(columns)) for name in ("product_id", "quantity", "unit_price")
                }
                if all(inner.values()):
                    return {"path": path, **inner}
        return {}


def _is_number(path: str, column: Sequence[Any]) -> bool:
    """Whether a column may be the numbers of orders: texts that all differ, and that nothing else is called like."""
    if any(guesses.by_name(name, [path]) for name in guesses.NAMES):
        return False
    differ = all(isinstance(each, str) for each in column) and len(set(column)) == len(column) > 1
    return differ and guesses.time_form(column[:20], "UTC") is None


def _kind(columns: Columns) -> tuple[Kind, bool]:
    """What the rows are, and whether the columns tell it."""
    paths = list(columns)
    has = {
        name: guesses.by_name(name, paths)
        for name in ("amount", "is_fraud", "event_type", "transaction_id", "customer_id", "session_id")
    }
    if has["amount"]:
        return Kind.TRANSACTION, True
    if has["is_fraud"]:
        return Kind.LABEL, not has["customer_id"]
    if has["event_type"] and (has["session_id"] or not has["customer_id"]):
        return Kind.BROWSE, True
    return (Kind.LABEL if has["transaction_id"] and not has["customer_id"] else Kind.TRANSACTION), False


def _unused(columns: Columns, content: dict[str, Any]) -> dict[str, Any]:
    """A value of each column that no field reads and that has some."""
    used = set(_texts(content["fields"]))
    firsts = {path: next((each for each in column if each not in (None, "")), None) for path, column in columns.items()}
    return {path: value for path, value in firsts.items() if path not in used and value is not None}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def _columns(records: Sequence[dict[str, Any]], *, nested: bool) -> tuple[Columns, dict[str, Columns]]:
    """Values by path, and the columns of the objects in each list of some."""
    flat = [dict(_flat(record, "")) if nested else record for record in records]
    paths = list(dict.fromkeys(path for record in flat for path in record))
    columns = {path: [record.get(path) for record in flat] for path in paths}
    lists: dict[str, Columns] = {}
    for path in paths:
        objects = [
            each for value in columns[path] if isinstance(value, list) for each in value if isinstance(each, dict)
        ]
        if objects:
            lists[path] = _columns(objects, nested=nested)[0]
    return {path: column for path, column in columns.items() if path not in lists}, lists


def _flat(value: dict[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        path = before + (name if name and not set(name) & set('.[]"') else f'"{name}"')
        if isinstance(inner, dict):
            yield from _flat(inner, f"{path}.")
        else:
            yield path, inner


def _section(name: str, table: dict[str, Any]) -> Iterator[str]:
    yield f"[{name}]"
    yield from (f"{key} = {_toml(value)}" for key, value in table.items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if key.replace("_", "").isalnum() and key.isascii() else json.dumps(key, ensure_ascii=False)
