"""A mapping file: TOML, read into frozen structs. docs/mapping.md describes each key."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct, convert
from msgspec.structs import replace

from fraudstream.errors import FraudstreamError
from fraudstream.messages.mapping.fields import COORDINATES, FIELDS, ITEM_FIELDS, PLACE, Kind, ValueType
from fraudstream.messages.mapping.paths import PathError, parse
from fraudstream.messages.mapping.registry import REGISTERED, Registry, beside, registry_problems
from fraudstream.messages.mapping.times import TimeFormError, check_form
from fraudstream.messages.money import MOST_DIGITS

Scalar = str | int | float | bool
Operation = Literal["create", "update", "read"]
_ALL_OPERATIONS: tuple[Operation, ...] = ("create", "update", "read")


class MappingError(FraudstreamError):
    """A mapping can't be used; the message names the file, the key and its value."""


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[source]`: what is read, and how it is written."""

    kind: Kind
    format: Literal["json", "avro", "protobuf", "json-schema", "csv", "parquet"]
    envelope: Literal["debezium"] | None = None
    operations: tuple[Operation, ...] = _ALL_OPERATIONS
    registry: Registry | None = None
    topic: str | None = None
    shop: str | None = None
    record: str | None = None
    zone: str = "UTC"
    decimal: Literal[".", ","] = "."
    missing: tuple[str, ...] = ("",)
    encoding: str = "utf-8"
    separator: str = ","
    quote: str = '"'
    header: tuple[str, ...] = ()
    minor_units: dict[str, int] = {}
    city_coordinates: bool = True


class Field(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A field's source: where its value stands, and how it is written."""

    path: str | tuple[str, ...] | None = None
    join: str | None = None
    constant: Scalar | None = None
    row: bool = False
    prefix: str = ""
    default: Scalar | None = None
    missing: tuple[str, ...] | None = None
    map: dict[str, Scalar] = {}
    other: Scalar | None = None
    case: Literal["upper", "lower"] | None = None
    time: str | None = None
    zone: str | None = None
    unit: Literal["minor", "cents"] | None = None
    decimal: Literal[".", ","] | None = None
    absolute: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths, in the order in which they are tried or joined."""
        return (self.path,) if isinstance(self.path, str) else self.path or ()

    @property
    def told(self) -> str:
        """Where the value comes from, for people."""
        if self.row:
            return "the row's number"
        if self.constant is not None:
            return f"always {self.constant!r}"
        return (" + " if self.join is not None else " or ").join(f"`{path}`" for path in self.paths)


class Items(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[items]`: the lines of a transaction. Without a path, the record itself is the one line."""

    path: str | None = None
    product_id: str | Field | None = None
    quantity: str | Field | None = None
    unit_price: str | Field | None = None

    @property
    def fields(self) -> dict[str, Field]:
        """The fields that are mapped, by name."""
        return {name: _field(value) for name in ITEM_FIELDS if (value := getattr(self, name)) is not None}


class Labels(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[labels]`: what means fraud."""

    fraud: tuple[Scalar, ...] = ()
    legitimate: tuple[Scalar, ...] = ()
    other: Literal["refuse", "legitimate", "fraud", "unknown"] = "refuse"
    delay_days: float = 30.0
    source: str = "chargeback"


class NotIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"values": "not"}):
    """Of `[where]`: messages count with all values but these."""

    values: tuple[Scalar, ...]


class Mapping(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole mapping. `fields` has a Field for each name, also where the file has only a path."""

    source: Source
    fields: dict[str, str | Field]
    where: dict[str, tuple[Scalar, ...] | NotIn] = {}
    items: Items | None = None
    labels: Labels = Labels()

    @property
    def locates_cities(self) -> bool:
        """Whether coordinates are those of the city: it and its country are mapped, and they themselves aren't."""
        is_asked = self.source.city_coordinates and not self.fields.keys() & set(COORDINATES)
        return is_asked and self.fields.keys() >= set(PLACE)

    def field(self, name: str) -> Field | None:
        """The field's source, if it is mapped."""
        value = self.fields.get(name)
        return None if value is None else _field(value)


def read_mapping(path: Path) -> Mapping:
    """Reads a mapping file. Raises MappingError."""
    try:
        return mapping_of_text(path.read_text(encoding="utf-8-sig"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError(f"can't read the mapping {path}: {error}") from error


def mapping_of_text(text: str, path: Path) -> Mapping:
    """The mapping that is the text of the file `path`. Raises MappingError."""
    try:
        mapping = of(tomllib.loads(text), f"mapping {path}")
    except tomllib.TOMLDecodeError as error:
        raise MappingError(f"can't read the mapping {path}: {error}") from error
    if mapping.source.registry is None:
        return mapping
    return replace(mapping, source=replace(mapping.source, registry=beside(path.parent, mapping.source.registry)))


def of(content: dict[str, Any], name: str = "mapping") -> Mapping:
    """The mapping that `content`, as TOML is parsed, describes. Raises MappingError, which begins with `name`."""
    try:
        mapping = convert(content, Mapping)
    except msgspec.ValidationError as error:
        problem = next(_field_types(content), None) or _told(str(error), content)
        raise MappingError(f"{name}, {problem}") from None
    for problem in _problems(mapping):
        raise MappingError(f"{name}, {problem}")
    return mapping


def _field(value: str | Field) -> Field:
    return Field(path=value) if isinstance(value, str) else value


# --- what is wrong with a mapping -----------------------------------------------------------------------------------

_TABLES = frozenset({"csv", "parquet"})
_SECTIONS: dict[str, type[Struct]] = {"source": Source, "items": Items, "labels": Labels, "where": NotIn}
_APPLY = {
    "time": (ValueType.TIME,),
    "zone": (ValueType.TIME,),
    "unit": (ValueType.MONEY,),
    "absolute": (ValueType.MONEY,),
    "decimal": (ValueType.MONEY, ValueType.NUMBER),
    "case": (ValueType.TEXT,),
    "prefix": (ValueType.TEXT,),
}


def _told(message: str, content: dict[str, Any]) -> str:
    """Msgspec's complaint with the key and its value first, and the keys that are known."""
    problem, _, path = message.partition(" - at `$")
    keys = [key for key in re.split(r"[.\[\]`]+", path) if key and key != "..."]
    value: Any = content
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    unknown = re.search(r"unknown field `(.*)`", problem)
    shown = "" if unknown or value is None or isinstance(value, dict) else f" = {value!r}"
    known = _known(keys) if unknown else ""
    where = f"[{keys[0]}]" if len(keys) == 1 and keys[0] in _SECTIONS else ".".join(keys) or "the file"
    return f"{where}{shown}: {problem[0].lower()}{problem[1:]}{known} (docs/mapping.md)"


def _field_types(content: dict[str, Any]) -> Iterator[str]:
    """Complaints about fields by their names, which msgspec leaves out."""
    fields = content.get("fields")
    for name, value in fields.items() if isinstance(fields, dict) else ():
        try:
            convert(value, str | Field)
        except msgspec.ValidationError as error:
            problem, _, path = str(error).partition(" - at `$")
            known = _known(["fields"]) if "unknown field" in problem else ""
            key = f"fields.{name}{path.rstrip('`')}"
            yield f"{key} = {value!r}: {problem[0].lower()}{problem[1:]}{known} (docs/mapping.md)"


def _known(keys: list[str]) -> str:
    if keys == ["source", "registry"]:
        return f"; known: {', '.join(Registry.__struct_encode_fields__)}"
    struct = Mapping if not keys else _SECTIONS.get(keys[0], Field) if len(keys) == 1 else Field
    return f"; known: {', '.join(struct.__struct_encode_fields__)}"


def _problems(mapping: Mapping) -> Iterator[str]:
    """What the types of the keys don't say. The first is told."""
    yield from _source_problems(mapping.source)
    types = FIELDS[mapping.source.kind]
    whole = mapping.source.format == "csv"
    for name in mapping.fields:
        if (field := mapping.field(name)) and field.row and mapping.source.topic:
            yield f"fields.{name}.row = true: messages of a topic have no row; say the path of an id"
        if name not in types:
            known = ", ".join(types)
            yield f"fields.{name}: a {mapping.source.kind} has no such field; known: {known}"
        elif field := mapping.field(name):
            yield from (f"fields.{name}{problem}" for problem in _field_problems(field, types[name], whole))
    if mapping.items:
        if mapping.source.kind is not Kind.TRANSACTION:
            yield f"[items]: only a transaction has items, not a {mapping.source.kind}"
        if mapping.items.path is not None:
            yield from _path_problems("items.path", mapping.items.path)
        for name, field in mapping.items.fields.items():
            yield from (f"items.{name}{problem}" for problem in _field_problems(field, ITEM_FIELDS[name], whole))
    for path in mapping.where:
        yield from _path_problems("where", path, whole)


def _source_problems(source: Source) -> Iterator[str]:
    yield from _format_problems(source)
    try:
        "".encode(source.encoding)
    except LookupError:
        yield f"source.encoding = {source.encoding!r}: no encoding of Python's, such as latin-1, cp1252 or utf-16"
    yield from _zone_problems("source.zone", source.zone)
    for key in ("separator", "quote"):
        if len(getattr(source, key)) != 1:
            yield f"source.{key} = {getattr(source, key)!r}: must be one character"
    for currency, digits in source.minor_units.items():
        if not re.fullmatch("[A-Z]{3}", currency) or not 0 <= digits <= MOST_DIGITS:
            key = f"source.minor_units.{currency}"
            yield f"{key} = {digits}: name a currency in capitals, and 0 to {MOST_DIGITS} digits"
    if source.record is not None:
        yield from _path_problems("source.record", source.record)


def _format_problems(source: Source) -> Iterator[str]:
    if source.envelope and source.format in _TABLES:
        yield f"source.envelope = {source.envelope!r}: is one of messages, and the format is {source.format}"
    if source.operations != _ALL_OPERATIONS and not source.envelope:
        yield f"source.operations = {list(source.operations)}: needs envelope = 'debezium'"
    if source.topic and source.format in REGISTERED and source.registry is None:
        yield f"source.format = {source.format!r}: messages need [source.registry] with a url"
    if source.registry is not None:
        yield from registry_problems(source.registry, source.format)


def _field_problems(field: Field, kind: ValueType, whole: bool) -> Iterator[str]:
    given = [key for key, value in (("path", field.paths), ("row", field.row)) if value]
    given += ["constant"] if field.constant is not None else []
    if len(given) != 1:
        yield f": say exactly one of path, constant and row, not {' and '.join(given) or 'none'}"
    for path in field.paths:
        yield from _path_problems(".path", path, whole)
    if field.join is not None and len(field.paths) < 2:
        yield f".join = {field.join!r}: path must be a list of at least two"
    for key, kinds in _APPLY.items():
        if getattr(field, key) and kind not in kinds:
            yield f".{key} = {getattr(field, key)!r}: for a {' or '.join(kinds)}, and this field is a {kind}"
    if field.other is not None and not field.map:
        yield f".other = {field.other!r}: needs a map"
    if field.zone:
        yield from _zone_problems(".zone", field.zone)
    if field.time:
        try:
            check_form(field.time)
        except TimeFormError as error:
            yield f".time = {field.time!r}: {error}"


def _path_problems(key: str, path: str, whole: bool = False) -> Iterator[str]:
    """`whole`: the path is a column's name, whatever it contains."""
    if whole and path:
        return
    try:
        parse(path)
    except PathError as error:
        yield f"{key} = {path!r}: {error}"


def _zone_problems(key: str, name: str) -> Iterator[str]:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        yield f"{key} = {name!r}: no time zone, such as Europe/Zurich or UTC"
