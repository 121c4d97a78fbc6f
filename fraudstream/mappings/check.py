"""What a mapping makes of a sample: each field's source, share and examples, and each reason of refusal."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fraudstream.mappings.files import Row
from fraudstream.mappings.refused import Refused, event_of, fields_of
from fraudstream.messages.contracts import iso_milliseconds
from fraudstream.messages.mapping.compiled import MappedRecords
from fraudstream.messages.mapping.fields import COORDINATES, FIELDS, REQUIRED
from fraudstream.messages.mapping.file import Mapping

EXAMPLES = 3
_SHOWN = 40


@dataclass
class FieldReport:
    """What came of one field. `examples` are its first different values."""

    name: str
    source: str
    required: bool
    found: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, value: Any) -> None:
        """Counts a value."""
        self.found += 1
        if len(self.examples) < EXAMPLES and (text := shown(value)) not in self.examples:
            self.examples.append(text)


@dataclass
class Report:
    """A sample, seen through a mapping."""

    fields: dict[str, FieldReport]
    unmapped: tuple[str, ...]
    rows: int = 0
    skipped: int = 0
    mapped: int = 0
    refused: Refused = field(default_factory=Refused)

    @property
    def missing(self) -> list[str]:
        """Required fields that no row has."""
        return [*self.unmapped, *(each.name for each in self.fields.values() if each.required and not each.found)]


def check(mapping: Mapping, rows: Iterable[Row]) -> Report:
    """Maps all rows, and says what came of them. Raises MappingError and DataError."""
    records = MappedRecords(mapping)
    report = Report(_field_reports(mapping), records.unmapped)
    for row in rows:
        report.rows += 1
        before = report.refused.count
        fields = fields_of(records, row, report.refused)
        if fields is not None:
            _count(report, fields)
            report.mapped += event_of(records, fields, row, report.refused) is not None
        elif report.refused.count == before:
            report.skipped += 1
        else:
            _count(report, records.readable(row.record, row.number))
    return report


def lines(report: Report, mapping: Mapping) -> Iterator[str]:
    """The report for people."""
    seen = report.rows - report.skipped
    skipped = f", {report.skipped:,} left out" if report.skipped else ""
    yield f"{report.rows:,} rows{skipped}: {report.mapped:,} can be used, {seen - report.mapped:,} are refused"
    yield ""
    width = max((len(each.name) for each in report.fields.values()), default=0)
    sources = max((len(each.source) for each in report.fields.values()), default=0)
    for each in report.fields.values():
        share = f"{each.found / seen:7.1%}" if seen else "      -"
        yield f"{each.name:<{width}}  {each.source:<{sources}}  {share}  {', '.join(each.examples) or '-'}"
    rest = [name for name in FIELDS[mapping.source.kind] if name not in report.fields and name not in report.unmapped]
    yield f"not mapped: {', '.join(rest)}" if rest else "all fields are mapped"
    if report.refused.found:
        yield from ("", "refused:", *(f"  {line}" for line in report.refused.lines()))
    for name in report.missing:
        yield f"missing: {name}, which a {mapping.source.kind} must have: {_remedy(name, report)}"


def shown(value: Any) -> str:
    """A value for people, short."""
    if isinstance(value, datetime):
        return iso_milliseconds(value)
    if isinstance(value, list):
        return f"{len(value)} items: " + shown(value[0]) if value else "no items"
    text = str(value) if isinstance(value, str | dict) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _remedy(name: str, report: Report) -> str:
    return f"no row has a value at {report.fields[name].source}" if name in report.fields else "add it under [fields]"


def _count(report: Report, event: dict[str, Any]) -> None:
    for name, value in event.items():
        if name in report.fields:
            report.fields[name].add(value)


def _field_reports(mapping: Mapping) -> dict[str, FieldReport]:
    required = REQUIRED[mapping.source.kind]
    found = {
        name: FieldReport(name, each.told, name in required)
        for name in FIELDS[mapping.source.kind]
        if (each := mapping.field(name))
    }
    if mapping.locates_cities:
        found |= {name: FieldReport(name, "that of the city", False) for name in COORDINATES}
    if mapping.items:
        found["items"] = FieldReport(
            "items", f"`{mapping.items.path}`" if mapping.items.path else "the row itself", False
        )
    return found
