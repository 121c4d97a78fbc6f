"""Rows of Postgres as Arrow: streamed by `COPY`, a block in memory at a time, in the order of their time."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import IO, Any, cast

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from fraudstream.export.datasets import Dataset

Postgres = psycopg.Connection[Any]
#: A row must fit in; a shop's largest orders have some hundred lines.
_BLOCK_BYTES = 16 << 20
_VALUE = "v"


@dataclass(frozen=True)
class Period:
    """Whole days in UTC: from `since`, before `until`; None is without end."""

    since: date | None = None
    until: date | None = None

    def condition(self, time: str) -> str:
        """SQL: whether a time lies in it."""
        bounds = [f"{time} >= '{self.since}T00:00Z'"] if self.since else []
        bounds += [f"{time} < '{self.until}T00:00Z'"] if self.until else []
        return " AND ".join(bounds) or "true"


@dataclass(frozen=True)
class Day:
    """What Postgres has of a dataset's day: its rows, their sums, and a fingerprint of what is in them."""

    rows: int
    sums: Mapping[str, Decimal]
    content: str


def days(connection: Postgres, dataset: Dataset, period: Period) -> dict[date, Day]:
    """The days of which there are rows. Raises psycopg.Error."""
    expressions = {column.name: column.sql for column in dataset.columns}
    sums = "".join(f", coalesce(sum({expressions[name]}), 0)::numeric" for name in dataset.sums)
    query = f"""
        SELECT ({dataset.time} AT TIME ZONE 'UTC')::date, count(*),
            sum(hashtextextended(ROW({", ".join(expressions.values())})::text, 0)::numeric)::text{sums}
        FROM {dataset.source} WHERE {period.condition(dataset.time)} GROUP BY 1 ORDER BY 1
    """  # noqa: S608 (constants, and dates)
    return {
        day: Day(rows, dict(zip(dataset.sums, map(Decimal, found), strict=True)), content)
        for day, rows, content, *found in connection.execute(query.encode())
    }


def batches(connection: Postgres, dataset: Dataset, first: date, last: date) -> Iterator[tuple[date, pa.RecordBatch]]:
    """The rows of the days from `first` to `last`, sorted; each batch is of one day. There must be a row.

    Raises psycopg.Error, and pa.ArrowException for a value that its type can't hold.
    """
    query = (
        f"COPY (SELECT {', '.join(column.sql for column in dataset.columns)} FROM {dataset.source} "  # noqa: S608 (constants, and dates)
        f"WHERE {Period(first, last + timedelta(days=1)).condition(dataset.time)} "
        f"ORDER BY {', '.join((dataset.time, *dataset.key))}) TO STDOUT (FORMAT csv)"
    )
    with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
        source = cast(IO[bytes], io.BufferedReader(_Copied(copy), _BLOCK_BYTES))
        for block in _csv(source, dataset):
            yield from _by_day(_typed(block, dataset.schema), dataset.time)


class _Copied(io.RawIOBase):
    """The bytes of a running `COPY`, as a file."""

    def __init__(self, copy: psycopg.Copy) -> None:
        self._copy, self._rest = copy, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not len(self._rest):
            self._rest = memoryview(self._copy.read())
        some = self._rest[: len(buffer)]
        buffer[: len(some)] = some
        self._rest = self._rest[len(some) :]
        return len(some)


def _csv(source: IO[bytes], dataset: Dataset) -> pyarrow.csv.CSVStreamingReader:
    types = {name: _as_csv(kind) for name, kind in zip(dataset.schema.names, dataset.schema.types, strict=True)}
    return pyarrow.csv.open_csv(
        source,
        pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES, column_names=dataset.schema.names),
        pyarrow.csv.ParseOptions(newlines_in_values=True),
        pyarrow.csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )


def _as_csv(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.string()
    return pa.timestamp(kind.unit) if pa.types.is_timestamp(kind) else kind


def _typed(block: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        _lists(column, field.type) if pa.types.is_list(field.type) else column.cast(field.type)
        for column, field in zip(block.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _lists(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """JSON texts as Arrow's lists, read all at once: several times as fast as one by one."""
    lines = pc.binary_join_element_wise(f'{{"{_VALUE}":', pc.fill_null(texts, "null"), "}\n", "")
    text = b"".join(line.as_buffer() for line in lines)
    found = pyarrow.json.read_json(
        io.BytesIO(text),
        pyarrow.json.ReadOptions(block_size=len(text) + 1),
        pyarrow.json.ParseOptions(
            explicit_schema=pa.schema([(_VALUE, kind)]), unexpected_field_behavior="ignore", newlines_in_values=False
        ),
    )
    return found.column(_VALUE).combine_chunks()


def _by_day(rows: pa.RecordBatch, time: str) -> Iterator[tuple[date, pa.RecordBatch]]:
    runs = pc.run_end_encode(rows.column(time).cast(pa.timestamp("us")).cast(pa.date32(), safe=False))
    start = 0
    for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield day, rows.slice(start, end - start)
        start = end
