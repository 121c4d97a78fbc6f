"""A shop's past as a history: its own files, mapped, become Parquet in the platform's form, in the order of time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudstream.mappings.files import DataError, read_rows
from fraudstream.mappings.refused import Refused, event_of, fields_of
from fraudstream.messages.contracts import BrowseEvent, Event, Label, Transaction
from fraudstream.messages.mapping.compiled import MappedRecords, label_of
from fraudstream.messages.mapping.decoding import as_event
from fraudstream.messages.mapping.fields import COORDINATES, Kind
from fraudstream.messages.mapping.file import Mapping
from fraudstream.messages.refusal import Rejection

_CHUNK_ROWS = 50_000
_PART_ROWS = 500_000
_TELL_ROWS = 1_000
_TIME = pa.timestamp("ms", "UTC")
_ITEM = pa.struct([("product_id", pa.string()), ("quantity", pa.int64()), ("unit_price", pa.float64())])
_TYPES = {"event_time": _TIME, "labelled_at": _TIME, "is_fraud": pa.bool_(), "items": pa.list_(_ITEM)} | dict.fromkeys(
    ("amount", "promo_amount", "shipping_fee", "shipping_latitude", "shipping_longitude"), pa.float64()
)


class _Dataset(NamedTuple):
    """A folder of a history: its events, and the column that it is sorted by."""

    name: str
    struct: type[msgspec.Struct]
    time: str


_DATASETS = {
    Kind.TRANSACTION: _Dataset("transactions", Transaction, "event_time"),
    Kind.BROWSE: _Dataset("browse_events", BrowseEvent, "event_time"),
    Kind.LABEL: _Dataset("labels", Label, "labelled_at"),
}


@dataclass
class Written:
    """What became of a shop's files: rows read and left out, events by dataset, and what was refused of each file."""

    rows: int = 0
    skipped: int = 0
    events: dict[str, int] = field(default_factory=dict)
    strangers: int = 0
    """Labels that name none of the transactions, where there are some of both."""
    refused: dict[Path, Refused] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """In one line."""
        events = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.events.items())
        refused = sum(each.count for each in self.refused.values())
        told = f"{self.rows:,} rows: {events}; {self.skipped:,} left out, {refused:,} refused"
        if not self.strangers:
            return told
        of = f"{self.strangers:,} of {self.events[_DATASETS[Kind.LABEL].name]:,} labels name none of the transactions"
        return f"{told}; {of}: both must be called by the same id"


def write_history(
    folder: Path, sources: Sequence[tuple[Path, Mapping]], progress: Callable[[int], None] = lambda _: None
) -> Written:
    """Writes the rows of all sources into `folder`, which must be new. A repeat writes the same bytes.

    Calls `progress` with the number of rows read so far. Raises DataError, also when no row can be used; MappingError.
    """
    written = Written()
    columns = {kind: _Columns(dataset, sources) for kind, dataset in _DATASETS.items()}
    for path, mapping in sources:
        _read(path, mapping, columns, written, progress)
    tables = {kind: columns[kind].table() for kind in _DATASETS}
    for kind, table in tables.items():
        if len(table):
            written.events[_DATASETS[kind].name] = len(table)
            _write(folder / _DATASETS[kind].name, table.sort_by(_DATASETS[kind].time))
    if len(tables[Kind.TRANSACTION]):
        named = (tables[kind]["transaction_id"].combine_chunks() for kind in (Kind.LABEL, Kind.TRANSACTION))
        written.strangers = pc.sum(pc.invert(pc.is_in(*named))).as_py() or 0
    if not written.events:
        first = next((line for refused in written.refused.values() for line in refused.lines()), "all are left out")
        raise DataError(f"no row can be used: {first}; try ./fraudctl mapping check")
    return written


def _read(
    path: Path,
    mapping: Mapping,
    columns: dict[Kind, "_Columns"],
    written: Written,
    progress: Callable[[int], None],
) -> None:
    records, refused = MappedRecords(mapping), written.refused.setdefault(path, Refused())
    kind = mapping.source.kind
    for row in read_rows(path, mapping):
        written.rows += 1
        if written.rows % _TELL_ROWS == 0:
            progress(written.rows)
        before = refused.count
        fields = fields_of(records, row, refused)
        if fields is None:
            written.skipped += refused.count == before
            continue
        event = event_of(records, fields, row, refused)
        if event is None:
            continue
        columns[kind].add(event)
        label = label_of(fields, mapping) if kind is Kind.TRANSACTION else None
        if label is not None:
            judged = as_event(Kind.LABEL, label)
            if isinstance(judged, Rejection):
                refused.add(judged.reason, "label", row, judged.detail)
            else:
                columns[Kind.LABEL].add(judged)


class _Columns:
    """The events of a dataset, as columns: those that an event must have, and those that some source fills."""

    def __init__(self, dataset: _Dataset, sources: Sequence[tuple[Path, Mapping]]) -> None:
        filled = {name for _, mapping in sources for name in mapping.fields}
        filled |= {name for _, mapping in sources if mapping.locates_cities for name in COORDINATES}
        filled |= {"items" for _, mapping in sources if mapping.items}
        filled |= {"shop" for _, mapping in sources if mapping.source.shop}
        # Where it isn't mapped, an amount may still say it; if none does, it is no column.
        self._may_lack = {"currency"} - filled
        filled |= {"currency"}
        fields = msgspec.structs.fields(dataset.struct)
        self._names = [
            each.name for each in fields if each.name != "schema_version" and (each.required or each.name in filled)
        ]
        self._schema = pa.schema([(name, _TYPES.get(name, pa.string())) for name in self._names])
        self._events: list[Event] = []
        self._chunks: list[pa.RecordBatch] = []

    def add(self, event: Event) -> None:
        """Adds an event."""
        self._events.append(event)
        if len(self._events) >= _CHUNK_ROWS:
            self._settle()

    def table(self) -> pa.Table:
        """All of them, in the order in which they came."""
        self._settle()
        table = pa.Table.from_batches(self._chunks, self._schema)
        return table.drop_columns(
            [name for name in table.column_names if name in self._may_lack and table[name].null_count == len(table)]
        )

    def _settle(self) -> None:
        columns = [
            pa.array([_plain(getattr(event, name)) for event in self._events], self._schema.field(name).type)
            for name in self._names
        ]
        self._chunks.append(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        self._events.clear()


def _plain(value: Any) -> Any:
    """Items as Arrow takes them; times cut to milliseconds, which is what events have."""
    if isinstance(value, list):
        return [msgspec.structs.asdict(each) for each in value]
    if isinstance(value, datetime):
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    return value


def _write(folder: Path, table: pa.Table) -> None:
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, len(table), _PART_ROWS)):
        pq.write_table(table.slice(start, _PART_ROWS), folder / f"part-{number:05d}.parquet")
