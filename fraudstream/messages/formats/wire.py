"""Confluent's wire format: a zero byte, the schema's id in four bytes, the data."""

from fraudstream.messages.formats.errors import refused
from fraudstream.messages.reasons import DeadLetterReason

_MAGIC = 0
_HEADER_BYTES = 5


def split(value: bytes) -> tuple[int, bytes]:
    """The schema's id, and the data behind it. Raises PayloadError."""
    if len(value) < _HEADER_BYTES or value[0] != _MAGIC:
        detail = "the value doesn't begin with a zero byte and a schema's id, as a registry's serializers write"
        raise refused(DeadLetterReason.NO_SCHEMA_REGISTRY_FRAME, detail)
    return int.from_bytes(value[1:_HEADER_BYTES]), value[_HEADER_BYTES:]
