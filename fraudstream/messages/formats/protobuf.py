"""Protobuf, as its writer's schema says: compiled by `protoc` from the registry's text, once for each id."""

import struct
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc_tools
from confluent_kafka.schema_registry import Schema
from confluent_kafka.schema_registry.confluent import meta_pb2
from confluent_kafka.schema_registry.confluent.type import decimal_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc

from fraudstream.messages.formats.registry import SchemaRegistry

#: What is raised for bytes that aren't of the schema.
MISFITS = (DecodeError, ValueError, LookupError, OverflowError, json_format.Error)
_MAIN = "schema.proto"
_TIMESTAMP = "google.protobuf.Timestamp"
_WELL_KNOWN = "google.protobuf."
_DECIMAL = "confluent.type.Decimal"
#: What Confluent's serializers take for known, and no registry has.
_BUILT_IN: tuple[FileDescriptor, ...] = (meta_pb2.DESCRIPTOR, decimal_pb2.DESCRIPTOR)
_VARINT_BITS = 63
_FLOAT = struct.Struct("f")


class ProtobufSchemaError(ValueError):
    """A schema in the registry can't be compiled."""


def reader(schema: Schema, registry: SchemaRegistry) -> Callable[[bytes], Any]:
    """A function from message indexes and data to a record. It raises one of MISFITS. Raises ProtobufSchemaError."""
    file = _pool(compiled(schema, registry)).FindFileByName(_MAIN)
    classes: dict[tuple[int, ...], type[Message]] = {}

    def read(data: bytes) -> Any:
        indexes, begin = _indexes(data)
        if indexes not in classes:
            classes[indexes] = GetMessageClass(_message(file, indexes))
        return _record(classes[indexes].FromString(data[begin:]))

    return read


# --- which message --------------------------------------------------------------------------------------------------


def _indexes(data: bytes) -> tuple[tuple[int, ...], int]:
    """The message's place in its file, such as (1, 0) for the first within the second; and where its data begins."""
    count, place = _varint(data, 0)
    if not 0 <= count <= len(data):
        raise ValueError("it has no message indexes")
    found = []
    for _ in range(count):
        index, place = _varint(data, place)
        found.append(index)
    return tuple(found) or (0,), place  # a single zero byte stands for the first message


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number in Protobuf's zigzag encoding, and the place behind it."""
    number = 0
    for shift in range(0, _VARINT_BITS + 1, 7):
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), place
    raise ValueError("its message indexes are no numbers")


def _message(file: FileDescriptor, indexes: tuple[int, ...]) -> Descriptor:
    messages = list(file.message_types_by_name.values())
    for depth, index in enumerate(indexes, start=1):
        if not 0 <= index < len(messages):
            raise LookupError("its message indexes lead to no message of the schema")
        if depth == len(indexes):
            return messages[index]
        messages = list(messages[index].nested_types)
    raise LookupError("its message indexes are empty")


# --- the schema -----------------------------------------------------------------------------------------------------


def compiled(schema: Schema, registry: SchemaRegistry) -> FileDescriptorSet:
    """The schema's file and all that it imports, each after its imports. Raises ProtobufSchemaError."""
    files = {_MAIN: schema.schema_str or ""} | _references(schema, registry)
    with tempfile.TemporaryDirectory(prefix="fraudstream-proto-") as folder:
        root = Path(folder).resolve()
        for name, text in files.items():
            path = (root / name).resolve()
            if not path.is_relative_to(root):
                raise ProtobufSchemaError(f"imports {name!r}, which is no name of a file")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return _protoc(root)


def _references(schema: Schema, registry: SchemaRegistry) -> dict[str, str]:
    found: dict[str, str] = {}
    waiting = list(schema.references or ())
    while waiting:
        reference = waiting.pop()
        if reference.name and reference.name not in found:
            imported = registry.referenced(reference)
            found[reference.name] = imported.schema_str or ""
            waiting += imported.references or ()
    return found


def _protoc(folder: Path) -> FileDescriptorSet:
    known, out = folder / "known.descriptors", folder / "out.descriptors"
    known.write_bytes(FileDescriptorSet(file=_with_imports(_BUILT_IN)).SerializeToString())
    arguments = (
        f"--proto_path={folder}",
        f"--proto_path={Path(grpc_tools.__file__).parent / '_proto'}",
        f"--descriptor_set_in={known}",
        f"--descriptor_set_out={out}",
        "--include_imports",
        _MAIN,
    )
    if protoc.main(["protoc", *arguments]) != 0:
        raise ProtobufSchemaError("can't be compiled by protoc, which says why on standard error")
    return FileDescriptorSet.FromString(out.read_bytes())


def _with_imports(files: tuple[FileDescriptor, ...]) -> list[FileDescriptorProto]:
    """Descriptions of files, each after those that it imports."""
    found: dict[str, FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        for imported in file.dependencies:
            add(imported)
        if file.name not in found:
            found[file.name] = FileDescriptorProto.FromString(file.serialized_pb)

    for file in files:
        add(file)
    return list(found.values())


def _pool(files: FileDescriptorSet) -> DescriptorPool:
    pool = DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


# --- the record -----------------------------------------------------------------------------------------------------


def _record(message: Message) -> Any:
    """A message by its fields' own names; what isn't there is None, or the field's default where the schema has one."""
    name = message.DESCRIPTOR.full_name
    if name == _TIMESTAMP:
        return message.ToDatetime(tzinfo=UTC)
    if name == _DECIMAL:
        return _decimal(message)
    if name.startswith(_WELL_KNOWN):
        return json_format.MessageToDict(message)
    return dict(_fields(message))


def _fields(message: Message) -> Iterator[tuple[str, Any]]:
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            yield field.name, None
            continue
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"]
            yield field.name, {str(key): _value(inner, each) for key, each in value.items()}
        elif field.is_repeated:
            yield field.name, [_value(field, each) for each in value]
        else:
            yield field.name, _value(field, value)


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return _record(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return _shortest(value)
    return value


def _decimal(message: Any) -> Decimal:
    return Decimal(int.from_bytes(message.value, signed=True)).scaleb(-message.scale)


def _shortest(value: float) -> float:
    """The number with the fewest digits that 32 bits hold as `value`: 9.99, and not 9.989999771118164."""
    for digits in (6, 7, 8):
        short = float(f"{value:.{digits}g}")
        if _FLOAT.unpack(_FLOAT.pack(short))[0] == value:
            return short
    return value
