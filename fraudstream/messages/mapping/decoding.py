"""From a message of a shop's own form to the platform's event, or to why it can't be used."""

from pathlib import Path
from typing import Any

import msgspec

from fraudstream.messages.card_numbers import field_with_card_number
from fraudstream.messages.contracts import SCHEMA_VERSION, Event
from fraudstream.messages.formats.errors import PayloadError
from fraudstream.messages.formats.payloads import payload_decoder
from fraudstream.messages.mapping.compiled import Fields, MappedRecords, UnmappableError
from fraudstream.messages.mapping.fields import STRUCTS, Kind
from fraudstream.messages.mapping.file import Mapping
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.refusal import Rejection, explain_fields


class MappedDecoder:
    """Decodes the messages of one source. Pure, so that a replay decides the same."""

    def __init__(self, mapping: Mapping, schemas: Path | None = None) -> None:
        """`schemas` is as that of `payload_decoder`."""
        self.kind = mapping.source.kind
        self._records = MappedRecords(mapping)
        self._decode = payload_decoder(mapping.source, schemas)

    def decode(self, value: bytes) -> Event | Rejection | None:
        """The event of a message; None when the mapping leaves it out, or it has nothing to read.

        One message is one event: a list of them is refused, since none of its parts could be counted by itself.
        """
        try:
            record = self._decode(value)
        except PayloadError as error:
            return error.rejection
        if record is None:
            return None
        fields = mapped(self._records, record)
        return as_event(self.kind, fields) if isinstance(fields, dict) else fields


def mapped(records: MappedRecords, record: Any, row: int = 0) -> Fields | Rejection | None:
    """As `records.event`, with a refusal as a value."""
    try:
        return records.event(record, row)
    except UnmappableError as refusal:
        return Rejection(DeadLetterReason.MAPPING_FAILED, str(refusal))


def as_event(kind: Kind, fields: Fields) -> Event | Rejection:
    """The event with these fields, judged as one of the platform's own form; what it lacks is null."""
    struct = STRUCTS[kind]
    complete = _NOTHING[kind] | fields
    try:
        event: Any = msgspec.convert(complete, struct)
    except msgspec.ValidationError as error:
        return explain_fields(str(error))
    if name := field_with_card_number(event):
        return Rejection(DeadLetterReason.CARD_NUMBER, f"`{name}` holds what passes for a card number")
    decoded: Event = event
    return decoded


def _nothing(struct: type[msgspec.Struct]) -> Fields:
    required = [field.name for field in msgspec.structs.fields(struct) if field.required]
    return dict.fromkeys(required) | dict.fromkeys(_EXTRA_MONEY.intersection(required), 0.0)


#: Money that nobody spoke of wasn't charged.
_EXTRA_MONEY = frozenset({"promo_amount", "shipping_fee"})
#: What a mapping needn't fill.
_NOTHING: dict[Kind, Fields] = {
    kind: _nothing(struct) | {"schema_version": SCHEMA_VERSION} for kind, struct in STRUCTS.items()
}
