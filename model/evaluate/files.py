"""Files with transactions as Arrow tables: CSV in any encoding, Parquet, compressed or not, or a folder of parts."""

import codecs
import csv
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from fraudstream.errors import FraudstreamError
from fraudstream.files import encoding_by_mark
from model.evaluate.mapping import Mapping, choose

_TEXTS = {".csv", ".tsv", ".txt", ".psv"}
_COMPRESSIONS = {".gz", ".bz2", ".zst"}
_SEPARATORS = ",;\t|"
_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 23  # a row, with its quoted line breaks, may be as long


class HistoryFileError(FraudstreamError):
    """A file with transactions can't be read; the message names the column and the row."""


@dataclass(frozen=True)
class FileTable:
    """The chosen columns by role, as the file has them, and their names in the file."""

    columns: dict[str, pa.ChunkedArray]
    names: dict[str, str]
    rows: int


def read_table(path: Path, mapping: Mapping) -> FileTable:
    """Reads a file, or the parts of a folder in the order of their names. Raises HistoryFileError or MappingError."""
    try:
        parts = [_read_part(part, mapping) for part in _parts(path)]
        if any(names != parts[0][1] for _, names in parts):
            raise HistoryFileError(f"the parts of {path} have different columns: bring them to the same ones")
        table = pa.concat_tables([part for part, _ in parts], promote_options="permissive")
    except (OSError, EOFError, zlib.error, UnicodeError, csv.Error, pa.ArrowException) as error:
        raise HistoryFileError(f"can't read {path}: {' '.join(str(error).split())}") from error
    names = parts[0][1]
    return FileTable({role: table[name] for role, name in names.items()}, names, table.num_rows)


def _parts(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(name.startswith(("_", ".")) for name in file.relative_to(path).parts)
    )
    if not files:
        raise HistoryFileError(f"the folder {path} has no part, such as part-00000.parquet")
    return files


def _read_part(path: Path, mapping: Mapping) -> tuple[pa.Table, dict[str, str]]:
    readers: dict[str, Callable[[Path, Mapping], tuple[pa.Table, dict[str, str]]]] = {
        ".parquet": _read_parquet,
        **dict.fromkeys(_TEXTS, _read_csv),
    }
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        del suffixes[-1]
    reader = readers.get(suffixes[-1]) if suffixes else None
    if reader is None:
        raise HistoryFileError(f"{path} is neither .csv, .tsv, .csv.gz nor .parquet: convert it")
    return reader(path, mapping)


def _read_parquet(path: Path, mapping: Mapping) -> tuple[pa.Table, dict[str, str]]:
    file = pa.parquet.ParquetFile(path)
    names = choose(mapping, file.schema_arrow.names, path)
    return file.read(columns=list(dict.fromkeys(names.values()))), names


def _read_csv(path: Path, mapping: Mapping) -> tuple[pa.Table, dict[str, str]]:
    """All columns as text, so that a value that is no time or number is found by its row. Only nothing is missing."""
    encoding = mapping.encoding or _encoding(path)
    header = _header(path, encoding)
    separator = mapping.separator or max(_SEPARATORS, key=lambda each: len(next(csv.reader([header], delimiter=each))))
    present = next(csv.reader([header], delimiter=separator))
    names = choose(mapping, present, path)
    wanted = list(dict.fromkeys(names.values()))
    table = pa.csv.read_csv(
        path,
        read_options=pa.csv.ReadOptions(encoding=encoding, block_size=_BLOCK_BYTES),
        parse_options=pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            include_columns=wanted,
            column_types=dict.fromkeys(wanted, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    return table, names


def _header(path: Path, encoding: str) -> str:
    """The first row; its names may be quoted and hold line breaks."""
    row = ""
    for text in _decoded(path, encoding):
        row += text
        for end, character in enumerate(row):
            if character in "\r\n" and row.count('"', 0, end) % 2 == 0 and row[:end].strip():
                return row[:end].strip("\r\n")
        if len(row) > _CHUNK_BYTES:
            break
    if not row.strip():
        raise HistoryFileError(f"{path} is empty")
    return row


def _encoding(path: Path) -> str:
    """UTF-8 where the file is that; UTF-16 and UTF-32 by their marks or zeros; else Latin-1, which takes every byte.

    Another encoding of one byte a character would tell the same identifiers apart, and numbers and times are the same.
    """
    marked = encoding_by_mark(next(_chunks(path), b""))
    if marked:
        return marked
    try:
        for _ in _decoded(path, "utf-8"):
            pass
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _decoded(path: Path, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    for chunk in _chunks(path):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def _chunks(path: Path) -> Iterator[bytes]:
    with pa.input_stream(path, compression="detect") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
