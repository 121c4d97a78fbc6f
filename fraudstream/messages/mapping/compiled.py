"""A mapping, compiled once: from a record of a shop's own form to the fields of the platform's event."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

from fraudstream.messages.mapping import values
from fraudstream.messages.mapping.cities import add_coordinates
from fraudstream.messages.mapping.fields import FIELDS, ITEM_FIELDS, REQUIRED, Kind, ValueType
from fraudstream.messages.mapping.file import Field, Items, Mapping, MappingError, NotIn
from fraudstream.messages.mapping.generated import Simple, fill_function, list_function
from fraudstream.messages.mapping.paths import Getter, Step, getter, getter_of_columns, parse
from fraudstream.messages.mapping.times import ISO, time_reader
from fraudstream.messages.money import MINOR_UNITS

#: A record as it is decoded, by the shop's own names; and an event's fields, by the platform's.
Record = dict[str, Any]
Fields = dict[str, Any]
_Reader = Callable[[Any], Any]
_HUNDREDTHS = 2
_NUMERIC = frozenset({int, float, Decimal})


class UnmappableError(Exception):
    """A value of a record can't be mapped: `field` of the event. `str()` says where it stands and what was expected."""

    def __init__(self, field: str, source: str, problem: str) -> None:
        super().__init__(f"{field} (from {source}): {problem}" if source else f"{field}: {problem}")
        self.field = field
        self.problem = problem


class _CompiledField:
    """One field: how its value is found, and read.

    `read` takes a record and the row's number, and gives the value, None where there is none. It raises
    UnmappableError.
    """

    def __init__(self, name: str, field: Field, kind: ValueType, mapping: Mapping) -> None:
        self.name, self.field, self._kind = name, field, kind
        self._convert = _converter(field, kind, mapping)
        self.raw = _found(field, mapping)
        self._nothing = self._of_nothing(kind)
        missing = _missing(field, mapping)
        self._read_there = self._converted()
        self.read = self._reader(missing)
        self.simple = self._simple(missing, mapping)

    def _simple(self, missing: frozenset[str], mapping: Mapping) -> tuple[tuple[Step, ...], Simple] | None:
        """How the fast path reads it, and the path of its object; None where it can't."""
        source = mapping.source.format
        if len(self.field.paths) != 1 or _numbers(missing):
            return None
        path = self.field.paths[0]
        *parent, key = (path,) if source == "csv" else parse(path)
        if isinstance(key, tuple) or (source == "parquet" and key != path):
            return None
        convert = None if self._read_there is values.text else self._read_there
        changes = self.field.map or self.field.absolute or self.field.unit == "cents"
        # Parquet's numbers may be NaN, which only the slow path takes for nothing
        is_number = self._kind in {ValueType.MONEY, ValueType.NUMBER} and not changes and source != "parquet"
        return tuple(parent), Simple(self.name, key, convert, is_number, missing, self._nothing)

    def _reader(self, missing: frozenset[str]) -> Callable[[Record, int], Any]:
        if self.field.constant is not None:
            constant = self._fixed("constant", self.field.constant)
            return lambda _record, _row: constant
        if self.field.row:
            return lambda _record, row: f"{self.field.prefix}{row}"
        get, convert, nothing, numbers = self.raw, self._read_there, self._nothing, _numbers(missing)

        def read(record: Record, _row: int) -> Any:
            try:
                value = get(record)
                if value is None or (type(value) in _NUMERIC and value in numbers):
                    return nothing
                if type(value) is str:
                    return nothing if value in missing else convert(value)
                return convert(value) if value == value else nothing
            except (ValueError, ArithmeticError, TypeError) as error:
                raise UnmappableError(self.name, self.field.told, str(error)) from None

        return read

    def _converted(self) -> _Reader:
        """The reader of a value that is there: its other name, if it has one, or itself."""
        convert = self._convert
        if not self.field.map:
            return convert
        names = {key: self._fixed("map", value) for key, value in self.field.map.items()}
        other = None if self.field.other is None else self._fixed("other", self.field.other)

        def look_up(value: Any) -> Any:
            found = names.get(values.text(value), other)
            return convert(value) if found is None else found

        return look_up

    def _of_nothing(self, kind: ValueType) -> Any:
        if self.field.default is not None:
            return self._fixed("default", self.field.default)
        if kind is ValueType.LABEL:
            with suppress(ValueError):
                return self._convert("")  # in many exports, what isn't said to be fraud has nothing in the column
        return None

    def _fixed(self, key: str, value: Any) -> Any:
        try:
            return self._convert(value)
        except (ValueError, TypeError) as error:
            raise MappingError(f"mapping, fields.{self.name}.{key} = {value!r}: {error}") from None


class _Condition:
    """A line of `[where]`."""

    def __init__(self, path: str, mapping: Mapping) -> None:
        listed = mapping.where[path]
        self._get, self._path, self._counts = _getter(path, mapping), path, not isinstance(listed, NotIn)
        self._listed = frozenset(map(values.text, listed.values if isinstance(listed, NotIn) else listed))

    def holds(self, record: Record) -> bool:
        """Whether a record counts. Raises UnmappableError for what is no text and no number."""
        value = self._get(record)
        try:
            return (("" if value is None else values.text(value)) in self._listed) is self._counts
        except ValueError as error:
            raise UnmappableError("[where]", f"`{self._path}`", str(error)) from None


class MappedRecords:
    """Maps records of one source. Raises MappingError for a constant, default or map that its field can't hold."""

    def __init__(self, mapping: Mapping) -> None:
        source, types = mapping.source, FIELDS[mapping.source.kind]
        self.mapping = mapping
        self.unmapped = tuple(name for name in REQUIRED[source.kind] if name not in mapping.fields)
        self.fields = tuple(
            _CompiledField(name, field, types[name], mapping)
            for name in mapping.fields
            if (field := mapping.field(name)) is not None
        )
        self._fill_simple = fill_function(field.simple for field in self.fields if field.simple)
        self._others = tuple(field for field in self.fields if not field.simple)
        self._required = REQUIRED[source.kind]
        self._record = getter(source.record) if source.record else None
        self._where = [_Condition(path, mapping) for path in mapping.where]
        self._items = _CompiledItems(mapping.items, mapping) if mapping.items else None
        self._in_minor_units = [each.name for each in self.fields if each.field.unit == "minor"]
        self._digits = MINOR_UNITS | source.minor_units
        self._amount = next((each for each in self.fields if each.name == "amount"), None)
        self._locates_cities = mapping.locates_cities
        self._fixed: Fields = {"shop": source.shop} if source.shop else {}
        if source.kind is Kind.LABEL:
            self._fixed["source"] = mapping.labels.source
        needs_currency = bool(self._in_minor_units) or bool(self._items and self._items.in_minor_units)
        if needs_currency and "currency" not in mapping.fields:
            raise MappingError("mapping, unit = 'minor': needs fields.currency, whose minor unit it is; or say 'cents'")

    def event(self, record: Any, row: int = 0) -> Fields | None:
        """The event's fields; None for a record that `[where]` leaves out, or no label. Raises UnmappableError.

        `row` is the record's number in its file, from 1.
        """
        if self._record is not None:
            record = self._record(record)
        if not isinstance(record, dict):
            raise UnmappableError("record", self.mapping.source.record or "", "is no object")
        for condition in self._where:
            if not condition.holds(record):
                return None
        event = self._fixed.copy()
        try:
            self._fill_simple(event, record)
        except (ValueError, ArithmeticError, TypeError):
            self._fill(event, record, row, self.fields)  # which says what is wrong, or knows better
        else:
            self._fill(event, record, row, self._others)
        for name in self._required:
            if name not in event:
                mapped = self.mapping.field(name)
                if mapped and name == "is_fraud" and self.mapping.labels.other == "unknown":
                    return None
                raise UnmappableError(name, mapped.told if mapped else "", "has no value" if mapped else "isn't mapped")
        self._settle_money(event, record)
        if self._locates_cities:
            add_coordinates(event)
        return event

    def _fill(self, event: Fields, record: Record, row: int, fields: tuple[_CompiledField, ...]) -> None:
        for field in fields:
            value = field.read(record, row)
            if value is not None:
                event[field.name] = value

    def sign(self, record: Any) -> str | None:
        """The currency's code or sign in the text of the amount, if there is one."""
        inner = self._record(record) if self._record is not None else record
        return None if self._amount is None else values.sign_of(self._amount.raw(inner))

    def readable(self, record: Any, row: int) -> Fields:
        """The fields that can be read by themselves, of a record that `event` refuses."""
        inner = self._record(record) if self._record is not None else record
        found: Fields = {}
        for field in self.fields if isinstance(inner, dict) else ():
            with suppress(UnmappableError):
                found[field.name] = field.read(inner, row)
        return {name: value for name, value in found.items() if value is not None}

    def _settle_money(self, event: Fields, record: Record) -> None:
        if self._items is not None:
            items = self._items.read(record)
            if items:
                event["items"] = items
        said = self._amount and values.currency_of(self._amount.raw(record))
        if self._amount and said and event.setdefault("currency", said) != said:
            problem = f"is in {said}, and the currency is {event['currency']}"
            raise UnmappableError("amount", self._amount.field.told, problem)
        if self._in_minor_units or (self._items is not None and self._items.in_minor_units):
            self._divide(event)

    def _divide(self, event: Fields) -> None:
        currency = event.get("currency")
        if currency is None:
            raise UnmappableError("currency", "", "has no value, and amounts are in its minor units")
        parts = 10 ** self._digits.get(currency, _HUNDREDTHS)
        for name in self._in_minor_units:
            if name in event:
                event[name] /= parts
        if self._items is not None and self._items.in_minor_units:
            for item in event.get("items", ()):
                if "unit_price" in item:
                    item["unit_price"] /= parts


class _CompiledItems:
    """The lines of a transaction."""

    def __init__(self, items: Items, mapping: Mapping) -> None:
        self._path = items.path
        self._lines: Getter = getter(items.path) if items.path else lambda record: [record]
        self._fields = [_CompiledField(name, field, ITEM_FIELDS[name], mapping) for name, field in items.fields.items()]
        simples = [field.simple for field in self._fields if field.simple]
        self._read_simple = list_function(simples) if len(simples) == len(self._fields) else None
        self.in_minor_units = any(each.field.unit == "minor" for each in self._fields)

    def read(self, record: Record) -> list[Fields]:
        """The items. Raises UnmappableError."""
        lines = self._lines(record)
        if lines is None:
            return []
        if not isinstance(lines, list):
            raise UnmappableError("items", f"`{self._path}`", "is no list")
        if self._read_simple is not None:
            try:
                return self._read_simple(lines)
            except (ValueError, ArithmeticError, TypeError):
                pass  # the slow path says what is wrong, or knows better
        return [self._item(line) for line in lines]

    def _item(self, line: Any) -> Fields:
        if not isinstance(line, dict):
            raise UnmappableError("items", f"`{self._path}`", f"{str(line)[:60]!r} is no object")
        item: Fields = {}
        for field in self._fields:
            value = field.read(line, 0)
            if value is not None:
                item[field.name] = value
        return item


def label_of(event: Fields, mapping: Mapping) -> Fields | None:
    """The label that a transaction's fields bring along, if any: known after `delay_days`, if they don't say when."""
    if "is_fraud" not in event:
        return None
    at = event.get("labelled_at") or event["event_time"] + timedelta(days=mapping.labels.delay_days)
    label = {"transaction_id": event["transaction_id"], "is_fraud": event["is_fraud"], "labelled_at": at}
    shop = {"shop": event["shop"]} if "shop" in event else {}
    return label | {"source": event.get("source", mapping.labels.source)} | shop


def _found(field: Field, mapping: Mapping) -> Getter:
    getters = [_getter(path, mapping) for path in field.paths]
    if field.join is not None:
        return _joined(getters, field.join)
    if len(getters) <= 1:
        return getters[0] if getters else lambda _record: None
    return _first(getters, _missing(field, mapping))


def _missing(field: Field, mapping: Mapping) -> frozenset[str]:
    return frozenset(mapping.source.missing if field.missing is None else field.missing)


def _numbers(missing: frozenset[str]) -> frozenset[float]:
    """Those of the texts that a record may also have as a number, such as the 0 of a guest's id."""
    return frozenset(float(each) for each in missing if values.is_plain(each))


def _getter(path: str, mapping: Mapping) -> Getter:
    if mapping.source.format == "csv":
        return getter(path, whole=True)
    return getter_of_columns(path) if mapping.source.format == "parquet" else getter(path)


def _first(getters: list[Getter], missing: frozenset[str]) -> Getter:
    numbers = _numbers(missing)

    def first(record: Record) -> Any:
        for get in getters:
            value = get(record)
            if value is None or (type(value) is str and value in missing):
                continue
            if type(value) not in _NUMERIC or value not in numbers:
                return value
        return None

    return first


def _joined(getters: list[Getter], separator: str) -> Getter:
    def join(record: Record) -> str | None:
        parts = [get(record) for get in getters]
        if any(part is None or part == "" for part in parts):
            return None
        return separator.join(map(values.text, parts))

    return join


def _converter(field: Field, kind: ValueType, mapping: Mapping) -> _Reader:
    source = mapping.source
    decimal = field.decimal or source.decimal
    if kind is ValueType.TEXT:
        return _text(field)
    if kind is ValueType.TIME:
        return time_reader(field.time or ISO, field.zone or source.zone)
    if kind is ValueType.MONEY:
        return _money(field, decimal)
    if kind is ValueType.NUMBER:
        return lambda value: values.number(value, decimal)
    if kind is ValueType.COUNT:
        return values.count
    return values.label_reader(mapping.labels.fraud, mapping.labels.legitimate, mapping.labels.other)


def _text(field: Field) -> _Reader:
    if field.row or not (field.prefix or field.case):
        return values.text
    change: Callable[[str], str] = {"upper": str.upper, "lower": str.lower}.get(field.case or "", str)
    return lambda value: field.prefix + change(values.text(value))


def _money(field: Field, decimal: str) -> _Reader:
    parts = 100 if field.unit == "cents" else 1
    if field.absolute:
        return lambda value: abs(values.number(value, decimal)) / parts
    if parts == 1:
        return lambda value: values.number(value, decimal)
    return lambda value: values.number(value, decimal) / parts
