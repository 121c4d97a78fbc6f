"""Messages whose schemas are in a registry: Avro, Protobuf, and JSON with a JSON Schema."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka.schema_registry import Schema

from fraudstream.messages.formats import avro, protobuf
from fraudstream.messages.formats.errors import PayloadError, refused
from fraudstream.messages.formats.json_text import read_json
from fraudstream.messages.formats.registry import SchemaRegistry, UnknownSchemaError
from fraudstream.messages.formats.wire import split
from fraudstream.messages.mapping.registry import Registry
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.refusal import Rejection

Read = Callable[[bytes], Any]
#: Until an id that the registry doesn't know is asked for again.
_UNKNOWN_SECONDS = 30.0
_TYPES = {"avro": "AVRO", "protobuf": "PROTOBUF", "json-schema": "JSON"}


class RegisteredReader:
    """Reads messages of one format whose schemas are in a registry. An id's schema never changes, and is kept.

    Raises MappingError where the registry's settings can't be used.
    """

    def __init__(self, form: str, settings: Registry, schemas: Path | None = None) -> None:
        """`schemas` is as that of `SchemaRegistry`."""
        self._form, self._registry = form, SchemaRegistry(settings, schemas)
        self._readers: dict[int, Read] = {}
        self._unknown_until: dict[int, float] = {}

    def read(self, value: bytes) -> Any:
        """The record of a message. Raises PayloadError and RegistryUnavailableError."""
        schema_id, data = split(value)
        read = self._readers.get(schema_id) or self._new_reader(schema_id)
        try:
            return read(data)
        except (*avro.MISFITS, *protobuf.MISFITS) as error:
            detail = f"the data doesn't fit its schema {schema_id} ({type(error).__name__})"
            raise refused(DeadLetterReason.SCHEMA_MISMATCH, detail) from None

    def _new_reader(self, schema_id: int) -> Read:
        if time.monotonic() < self._unknown_until.get(schema_id, 0.0):
            raise _unknown(schema_id)
        try:
            self._readers[schema_id] = self._made(schema_id, self._registry.schema(schema_id))
        except UnknownSchemaError:
            self._unknown_until[schema_id] = time.monotonic() + _UNKNOWN_SECONDS
            raise _unknown(schema_id) from None
        except PayloadError as error:
            self._readers[schema_id] = _refusing(error.rejection)
        return self._readers[schema_id]

    def _made(self, schema_id: int, schema: Schema) -> Read:
        found = schema.schema_type or "AVRO"
        if found != _TYPES[self._form]:
            detail = f"its schema {schema_id} is of {found}, and source.format is {self._form}"
            raise refused(DeadLetterReason.SCHEMA_MISMATCH, detail)
        try:
            if self._form == "avro":
                return avro.reader(schema, self._registry)
            return protobuf.reader(schema, self._registry) if self._form == "protobuf" else read_json
        except (avro.AvroSchemaError, protobuf.ProtobufSchemaError) as error:
            raise refused(DeadLetterReason.SCHEMA_MISMATCH, f"its schema {schema_id} {error}") from None


def _refusing(rejection: Rejection) -> Read:
    def read(_: bytes) -> Any:
        raise PayloadError(rejection)

    return read


def _unknown(schema_id: int) -> Exception:
    return refused(DeadLetterReason.UNKNOWN_SCHEMA, f"the registry has no schema {schema_id}")
