"""What was refused of a source: each reason with its count, and its first row."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from fraudstream.mappings.files import Row, Unreadable
from fraudstream.messages.contracts import Event
from fraudstream.messages.mapping.compiled import Fields, MappedRecords, UnmappableError
from fraudstream.messages.mapping.decoding import as_event
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.refusal import Rejection

#: What differs between rows that have the same fault.
_VALUE = re.compile(r"'[^']*'|\"[^\"]*\"|-?\d[\d.]*")
#: Beyond, all of a reason and a field count as the same fault.
_DIFFERENT = 100


@dataclass
class Refusals:
    """Rows that were refused for one reason of one field; `first` is the first of them, and `detail` what it has."""

    reason: str
    first: str
    detail: str
    count: int = 0


@dataclass
class Refused:
    """All refusals, by reason, field and what is wrong with it."""

    found: dict[tuple[str, str, str], Refusals] = field(default_factory=dict)

    def add(self, reason: DeadLetterReason, where: str, row: Row, detail: str) -> None:
        """Counts a refusal."""
        problem = _VALUE.sub("", detail) if len(self.found) < _DIFFERENT else ""
        self.found.setdefault((reason.value, where, problem), Refusals(reason.value, row.told, detail)).count += 1

    @property
    def count(self) -> int:
        """Rows that were refused."""
        return sum(each.count for each in self.found.values())

    def lines(self) -> Iterator[str]:
        """One for each reason, the commonest first."""
        for each in sorted(self.found.values(), key=lambda each: -each.count):
            yield f"{each.count:,} rows, {each.reason}, first {each.first}: {each.detail}"


def fields_of(records: MappedRecords, row: Row, refused: Refused) -> Fields | None:
    """A row's fields; None for one that is left out, or counted in `refused`."""
    if isinstance(row.record, Unreadable):
        refused.add(DeadLetterReason.MAPPING_FAILED, "", row, row.record)
        return None
    try:
        return records.event(row.record, row.number)
    except UnmappableError as error:
        refused.add(DeadLetterReason.MAPPING_FAILED, error.field, row, str(error))
        return None


def event_of(records: MappedRecords, fields: Fields, row: Row, refused: Refused) -> Event | None:
    """The event with a row's fields; None for one that is counted in `refused`."""
    event = as_event(records.mapping.source.kind, fields)
    if isinstance(event, Rejection):
        refused.add(event.reason, event.detail.rpartition(" - at ")[2], row, event.detail)
        return None
    return event
