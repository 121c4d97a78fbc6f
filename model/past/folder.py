"""The history that is imported: what it must hold, and from when until when it is."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudstream.errors import FraudstreamError
from fraudstream.messages.contracts import BrowseEvent, Label, Transaction
from fraudstream.snapshots.folders import sha256_of
from model.training.history import BROWSE, LABELS, TRANSACTIONS, HistoryFolder

#: Each dataset's schema and the column of its time.
DATASETS: dict[str, tuple[type[msgspec.Struct], str]] = {
    BROWSE: (BrowseEvent, "event_time"),
    TRANSACTIONS: (Transaction, "event_time"),
    LABELS: (Label, "labelled_at"),
}
_MILLISECONDS = pa.timestamp("ms", "UTC")


class PastError(FraudstreamError):
    """A history can't be imported; the message names the file and the value, or what the platform has already."""


@dataclass(frozen=True)
class Span:
    """The first and the last event of a history, in milliseconds since the epoch."""

    first_ms: int
    last_ms: int


def columns_of(dataset: str) -> list[str]:
    """The columns that a dataset must have, without a null."""
    fields = msgspec.structs.fields(DATASETS[dataset][0])
    return [field.name for field in fields if field.required and field.name != "schema_version"]


def parts(folder: HistoryFolder, dataset: str) -> list[Path]:
    """The files of a dataset, those of the warm-up last: of a repeated transaction the history's own row counts."""
    return folder.parts_if_any(dataset) + folder.warm_up.parts_if_any(dataset)


def check(folder: HistoryFolder, until_ms: int) -> Span:
    """Looks at every file. Returns the span of its events.

    Raises HistoryError without transactions, and PastError for a column that is missing, a value that the stream would
    refuse, or an event after `until_ms` (milliseconds since the epoch).
    """
    folder.parts(TRANSACTIONS)
    spans = [
        span
        for dataset in DATASETS
        for part in parts(folder, dataset)
        if (span := _check_part(part, dataset, until_ms)) and dataset != LABELS
    ]
    if not spans:
        raise PastError(f"{folder.path} has no events: write a history with ./fraudctl produce --out DIR")
    return Span(min(span.first_ms for span in spans), max(span.last_ms for span in spans))


def fingerprint(folder: HistoryFolder, *others: object) -> str:
    """SHA-256 of every file that an import reads, and of `others` that it depends on."""
    digest = hashlib.sha256(repr(others).encode())
    for file in _files(folder):
        digest.update(f"{file.relative_to(folder.path)} {sha256_of(file)}\n".encode())
    return digest.hexdigest()


def _files(folder: HistoryFolder) -> Iterator[Path]:
    yield from sorted(folder.path.glob("*.parquet"))
    for dataset in DATASETS:
        yield from parts(folder, dataset)


def _check_part(part: Path, dataset: str, until_ms: int) -> Span | None:
    """Raises PastError. None for a file without rows."""
    try:
        spans = list(_spans(part, dataset, until_ms))
    except (OSError, pa.ArrowException) as error:
        raise PastError(f"{part} can't be read: {error}") from error
    return Span(min(span.first_ms for span in spans), max(span.last_ms for span in spans)) if spans else None


def _spans(part: Path, dataset: str, until_ms: int) -> Iterator[Span]:
    with pq.ParquetFile(part) as file:
        missing = [name for name in columns_of(dataset) if name not in file.schema_arrow.names]
        if missing:
            raise PastError(f"{part} has no column {missing[0]}; it needs {', '.join(columns_of(dataset))}")
        for number in range(file.num_row_groups):
            if file.metadata.row_group(number).num_rows:
                every = DATASETS[dataset][0].__struct_fields__
                columns = [name for name in file.schema_arrow.names if name in every]
                yield _check_group(part, dataset, file.read_row_group(number, columns), until_ms)


def _check_group(part: Path, dataset: str, rows: pa.Table, until_ms: int) -> Span:
    for name in columns_of(dataset):
        if rows[name].null_count:
            _refuse(part, name, rows, pc.is_null(rows[name]))
    for name, wrong in _wrong(dataset, rows):
        if pc.any(wrong).as_py():
            _refuse(part, name, rows, wrong)
    column = DATASETS[dataset][1]
    times = rows[column].cast(_MILLISECONDS).cast(pa.int64())
    if dataset != LABELS and pc.any(late := pc.greater(times, until_ms)).as_py():
        _refuse(part, column, rows, late, ", which is yet to come: a past ends before now")
    ends = pc.min_max(times).as_py()
    return Span(ends["min"], ends["max"])


def _wrong(dataset: str, rows: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Columns, and where their values can't be computed with."""
    if dataset == TRANSACTIONS:
        amount = rows["amount"]
        yield "amount", pc.invert(pc.and_(pc.is_finite(amount), pc.greater(amount, 0.0)))
        for name, most in (("shipping_latitude", 90.0), ("shipping_longitude", 180.0)):
            if name in rows.column_names:
                yield name, pc.invert(pc.less_equal(pc.abs(rows[name]), most))


def _refuse(part: Path, column: str, rows: pa.Table, wrong: pa.ChunkedArray, why: str = "") -> None:
    index = pc.index(wrong, True).as_py()
    row = rows.slice(index, 1).to_pylist()[0]
    name = row.get("transaction_id") or row.get("event_id") or f"row {index}"
    raise PastError(
        f"{part}: {name} has {column} {row[column]}{why or ', which the stream would refuse'}; leave it out"
    )
