"""From the bytes of a message to its record, by the format and the envelope that a mapping's source says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fraudstream.messages.formats import debezium
from fraudstream.messages.formats.errors import refused
from fraudstream.messages.formats.json_text import read_json
from fraudstream.messages.mapping.file import MappingError, Source
from fraudstream.messages.mapping.registry import REGISTERED
from fraudstream.messages.reasons import DeadLetterReason


def payload_decoder(source: Source, schemas: Path | None = None) -> Callable[[bytes | None], Any]:
    """A function from a message's value to its record; None for one that has nothing to read: a delete, a tombstone.

    It raises PayloadError for a message that can't be read, and RegistryUnavailableError where a schema can't be had
    within the registry's `retry_seconds`: then nothing is known of the message. It keeps a connection and schemas, so
    make one for each process, and not one for each message. Raises MappingError for a format that no message has.

    `schemas` is a folder of what a registry answered, for processes that come and go while it does or doesn't answer.
    """
    read = _reader(source, schemas)
    opened = debezium.opener(source)
    has_envelope = source.envelope is not None

    def decode(value: bytes | None) -> Any:
        if value is None:
            if has_envelope:
                return None
            raise refused(DeadLetterReason.EMPTY_VALUE, "the message has no value")
        record = read(value)
        if record is None and not has_envelope:
            raise refused(DeadLetterReason.NOT_AN_OBJECT, "the value is null")
        return opened(record)

    return decode


def _reader(source: Source, schemas: Path | None) -> Callable[[bytes], Any]:
    if source.format == "json":
        return read_json
    if source.format not in REGISTERED:
        raise MappingError(f"mapping, source.format = {source.format!r}: no message has it, only files")
    if source.registry is None:
        raise MappingError(f"mapping, source.format = {source.format!r}: messages need [source.registry] with a url")
    # who reads JSON needs none of what this imports, which takes half a second
    from fraudstream.messages.formats.registered import RegisteredReader

    return RegisteredReader(source.format, source.registry, schemas).read
