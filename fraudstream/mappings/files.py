"""Records of files: JSON, CSV, Parquet or Avro, compressed or not, or a folder of parts."""

import codecs
import csv
import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from fraudstream.errors import FraudstreamError
from fraudstream.files import encoding_by_mark
from fraudstream.messages.formats import debezium
from fraudstream.messages.formats.errors import PayloadError
from fraudstream.messages.mapping.file import Mapping, Source
from fraudstream.messages.mapping.paths import first_names
from fraudstream.messages.mapping.registry import REGISTERED

#: A cell of CSV, with its quoted line breaks, may be as long.
MAX_CELL = 1 << 23
_BATCH_ROWS = 10_000
_CHUNK_BYTES = 1 << 20
_WHOLE_BYTES = 1 << 24  # one object of JSON over several lines


class DataError(FraudstreamError):
    """A file can't be read; the message names it, and the row."""


class Unreadable(str):
    """Stands for a record that can't be read, and says why."""

    __slots__ = ()


_NULL = Unreadable("the record is null")


class Row(NamedTuple):
    """A record, or what is wrong with it, and its number from 1; `place` where that says more."""

    number: int
    record: Any
    place: str = ""

    @property
    def told(self) -> str:
        """Where it stands, for people."""
        return self.place or f"row {self.number}"


def read_rows(path: Path, mapping: Mapping) -> Iterator[Row]:
    """The records of a file, or of a folder's parts in the order of their names, numbered from 1 through all of them.

    With an envelope, they are the rows in it, and changes without a row are left out. Raises DataError when a file
    can't be read at all.
    """
    number = 0
    row_of = _opener(mapping.source)
    for part in parts(path):
        try:
            for number, record in enumerate(_records(part, mapping), start=number + 1):  # noqa: B020 - it goes on
                if (row := row_of(record)) is not None:
                    yield Row(number, row)
        except (OSError, EOFError, zlib.error, csv.Error, pa.ArrowException) as error:
            raise DataError(f"can't read {part} after row {number}: {' '.join(str(error).split())}") from error
        except UnicodeError as error:
            raise DataError(
                f"{part}, after row {number}: {_not_decoded(error, mapping.source)}: say its encoding under [source], "
                'such as encoding = "cp1252"'
            ) from None


def parts(path: Path) -> list[Path]:
    """The files of a folder, by name, or the file itself. Raises DataError where there are none."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    if not path.is_dir():
        return [path]
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(name.startswith(("_", ".")) for name in file.relative_to(path).parts)
    )
    if not files:
        raise DataError(f"the folder {path} has no part, such as part-00000.parquet")
    return files


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file, unzipped."""
    with pa.input_stream(str(path), compression="detect") as file:
        yield io.BufferedReader(file, _CHUNK_BYTES)


def columns(path: Path, source: Source) -> list[str]:
    """The columns of a CSV or Parquet file, as it names them; of others, none. Raises DataError."""
    if source.format not in {"csv", "parquet"}:
        return []
    try:
        if source.format == "parquet":
            return list(pq.ParquetFile(path).schema_arrow.names)
        with _csv_rows(path, source) as rows:
            return list(source.header) or [name.strip() for name in next(rows, [])]
    except (OSError, EOFError, UnicodeError, csv.Error, pa.ArrowException) as error:
        raise DataError(f"can't read {path}: {' '.join(str(error).split())}") from error


def _opener(source: Source) -> Callable[[Any], Any]:
    """A function from a file's record to the row in its envelope, or Unreadable; None where it has none."""
    if source.envelope is None:
        return lambda record: _NULL if record is None else record
    inner = debezium.opener(source)

    def row(record: Any) -> Any:
        try:
            return record if isinstance(record, Unreadable) else inner(record)
        except PayloadError as error:
            return Unreadable(error)

    return row


def _records(path: Path, mapping: Mapping) -> Iterator[Any]:
    if mapping.source.format == "parquet":
        return _parquet(path, mapping)
    if mapping.source.format == "avro":
        return _avro(path)
    if mapping.source.format in REGISTERED:
        raise DataError(f"{path}: the format {mapping.source.format} is one of messages: read its topic, with --topic")
    return _csv(path, mapping.source) if mapping.source.format == "csv" else _json(path)


def _csv(path: Path, source: Source) -> Iterator[Any]:
    with _csv_rows(path, source) as rows:
        names = list(source.header) or [name.strip() for name in next(rows, [])]
        width = len(names)
        for row in rows:
            if len(row) == width:
                yield dict(zip(names, row, strict=True))
            elif row:
                yield Unreadable(f"has {len(row)} cells, and there are {width} columns")


@contextmanager
def _csv_rows(path: Path, source: Source) -> Iterator[Iterator[list[str]]]:
    csv.field_size_limit(MAX_CELL)
    with opened(path) as file:
        encoding = encoding_by_mark(file.peek(4)[:4]) or source.encoding
        text = io.TextIOWrapper(file, encoding, newline="")
        rows = csv.reader(text, delimiter=source.separator, quotechar=source.quote, skipinitialspace=True)
        first = next(rows, [])
        yield rows if is_excels(first) else chain([first], rows)


def is_excels(row: list[str]) -> bool:
    """Whether a file's first row is that by which Excel says its separator, such as `sep=;`."""
    return bool(row) and re.fullmatch(r"(?i)sep=.?", row[0].lstrip("\ufeff")) is not None and not any(row[1:])


def _json(path: Path) -> Iterator[Any]:
    """An object a line; or a whole file that is one list of them, or one object over several lines."""
    decode = msgspec.json.Decoder().decode
    with opened(path) as file:
        head = file.peek(64)[:64]
        encoding = encoding_by_mark(head)
        if encoding not in {None, "utf-8-sig"}:
            yield from _json_texts(io.TextIOWrapper(file, encoding).read().encode(), decode)
        elif head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"[":
            yield from _json_texts(file.read().removeprefix(codecs.BOM_UTF8), decode)
        else:
            first = file.readline().removeprefix(codecs.BOM_UTF8)
            if isinstance(_json_record(first, decode), Unreadable):
                # One object over several lines is small; a line that is broken may begin a file that isn't.
                rest = file.read(_WHOLE_BYTES)
                whole = _json_record(first + rest, decode)
                if not isinstance(whole, Unreadable):
                    yield whole
                    return
                first += rest + file.readline()
            for line in chain(first.splitlines(), file):
                if line.strip():
                    yield _json_record(line, decode)


def _json_texts(content: bytes, decode: Any) -> Iterator[Any]:
    whole = _json_record(content, decode) if content.lstrip()[:1] == b"[" else None
    if isinstance(whole, list):
        yield from whole
    elif whole is not None:
        yield whole
    else:
        yield from (_json_record(line, decode) for line in content.splitlines() if line.strip())


def _json_record(text: bytes, decode: Any) -> Any:
    try:
        text.decode()
        return decode(text)
    except UnicodeDecodeError as error:
        return Unreadable(f"byte {error.start + 1}, 0x{text[error.start]:02x}, is not UTF-8, which JSON is")
    except (msgspec.DecodeError, RecursionError) as error:
        return Unreadable(f"is no JSON: {error}")


def _avro(path: Path) -> Iterator[Any]:
    """The records of a container file, by the schema that it brings along."""
    # who reads other files needs none of what these import
    import fastavro

    from fraudstream.messages.formats.avro import MISFITS

    with opened(path) as file:
        try:
            yield from fastavro.reader(file)
        except MISFITS as error:
            raise DataError(f"{path} is no file of Avro, or is damaged: {' '.join(str(error).split())}") from error


def _parquet(path: Path, mapping: Mapping) -> Iterator[Any]:
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        wanted = _needed(mapping)
        needed = [name for name in names if name in wanted] or names
        for batch in file.iter_batches(_BATCH_ROWS, columns=needed):
            columns = [_python_values(column) for column in batch.columns]
            yield from (dict(zip(needed, row, strict=True)) for row in zip(*columns, strict=True))


def _python_values(column: pa.Array) -> list[Any]:
    """As `to_pylist`, several times as fast for times, and with those as text that Python has no year for."""
    kind = column.type
    if not pa.types.is_timestamp(kind):
        return list(column.to_pylist())
    in_microseconds = column.cast(pa.timestamp("us", kind.tz), safe=False).to_numpy(zero_copy_only=False)
    moments = in_microseconds.astype("datetime64[us]").tolist()
    if any(type(moment) is int for moment in moments):
        return list(column.cast(pa.string()).to_pylist())
    return [moment and moment.replace(tzinfo=UTC) for moment in moments] if kind.tz else list(moments)


def _needed(mapping: Mapping) -> set[str]:
    """Names of all columns that a mapping may read; empty: all."""
    if mapping.source.record or (mapping.items and not mapping.fields):
        return set()
    paths = [path for name in mapping.fields if (field := mapping.field(name)) for path in field.paths]
    paths += list(mapping.where)
    if mapping.items:
        inner = [path for field in mapping.items.fields.values() for path in field.paths]
        paths += [mapping.items.path] if mapping.items.path else inner
    return {name for path in paths for name in first_names(path)}


def _not_decoded(error: UnicodeError, source: Source) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"the byte 0x{error.object[error.start]:02x} isn't {source.encoding}"
    return str(error)
