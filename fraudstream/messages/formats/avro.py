"""Avro, as its writer's schema says: values come with the types that `messages.mapping.values` reads."""

import io
import json
import struct
from collections.abc import Callable
from typing import Any

import fastavro
from confluent_kafka.schema_registry import Schema
from fastavro.schema import SchemaParseException, UnknownType
from fastavro.types import Schema as ParsedSchema

from fraudstream.messages.formats.registry import SchemaRegistry

#: What fastavro raises for bytes that aren't of the schema.
MISFITS = (EOFError, ValueError, LookupError, ArithmeticError, struct.error, TypeError, RecursionError, MemoryError)


class AvroSchemaError(ValueError):
    """A schema in the registry is no Avro schema."""


def reader(schema: Schema, registry: SchemaRegistry) -> Callable[[bytes], Any]:
    """A function from data in Avro to its record. It raises one of MISFITS. Raises AvroSchemaError."""
    try:
        parsed = _parsed(schema, registry, {})
    except (SchemaParseException, UnknownType, ValueError, KeyError, TypeError) as error:
        raise AvroSchemaError(f"is no Avro schema: {error}") from None

    def read(data: bytes) -> Any:
        source = io.BytesIO(data)
        record = fastavro.schemaless_reader(source, parsed, None)
        if source.tell() != len(data):
            raise ValueError("bytes are left over")
        return record

    return read


def _parsed(schema: Schema, registry: SchemaRegistry, named: dict[str, Any]) -> ParsedSchema:
    """The schema, with all those that it references in `named`."""
    for reference in schema.references or ():
        if reference.name not in named:
            _parsed(registry.referenced(reference), registry, named)
    return fastavro.parse_schema(json.loads(schema.schema_str or ""), named_schemas=named)
