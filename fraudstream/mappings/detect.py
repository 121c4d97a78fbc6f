"""How a file is written: its format, encoding, separator, and whether its first row names the columns."""

import codecs
import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

from fraudstream.files import encoding_by_mark
from fraudstream.mappings.files import DataError, is_excels, opened, parts
from fraudstream.messages.mapping import values

SEPARATORS = ",;\t|"
_SAMPLE_BYTES = 1 << 18
_SAMPLE_ROWS = 50


def detect(path: Path) -> dict[str, Any]:
    """The keys of `[source]` that say how the file, or a folder's first part, is written. Raises DataError."""
    part = parts(path)[0]
    try:
        with opened(part) as file:
            head = file.read(_SAMPLE_BYTES)
    except (OSError, EOFError) as error:
        raise DataError(f"can't read {part}: {error}") from error
    if not head.strip():
        raise DataError(f"{part} is empty")
    if head.startswith(b"PAR1"):
        return {"format": "parquet"}
    if head.startswith(b"Obj\x01"):
        return {"format": "avro"}
    encoding = encoding_by_mark(head[:4]) or _encoding(part)
    text = codecs.getincrementaldecoder(encoding)("ignore").decode(head)
    if text.lstrip("\ufeff \r\n\t")[:1] in {"{", "["}:
        return {"format": "json"}
    return {"format": "csv"} | _csv(text, {} if encoding in {"utf-8", "utf-8-sig"} else {"encoding": encoding})


def _csv(text: str, found: dict[str, Any]) -> dict[str, Any]:
    first_line, _, rest = text.lstrip("\ufeff").partition("\n")
    if is_excels([first_line.strip()]):
        text = rest
    separator = max(SEPARATORS, key=lambda each: _steadiness(text, each))
    found |= {} if separator == "," else {"separator": separator}
    first, *others = _rows(text, separator)[:2]
    if others and not _names_columns(first):
        found["header"] = [f"column{number}" for number in range(1, len(first) + 1)]
    return found


def _steadiness(text: str, separator: str) -> tuple[float, int]:
    """How many of the rows have the commonest number of cells, and that number."""
    rows = _rows(text, separator)
    ((width, count),) = Counter(map(len, rows)).most_common(1) or [(0, 0)]
    return (count / len(rows) if width > 1 else 0.0, width)


def _rows(text: str, separator: str) -> list[list[str]]:
    """The first rows; the last, which may be cut off, is left out where there are others."""
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        rows = [row for row, _ in zip(reader, range(_SAMPLE_ROWS), strict=False) if row]
    except csv.Error:
        return []
    return rows[:-1] if len(rows) > 2 else rows


def _names_columns(row: list[str]) -> bool:
    """A header has different names, none of which is a number; at most one is empty, as of an index."""
    names = [cell.strip() for cell in row]
    return len(set(names)) == len(names) and not any(_is_number(name) for name in names)


def _is_number(text: str) -> bool:
    try:
        values.number(text)
    except ValueError:
        return False
    return True


def _encoding(path: Path) -> str:
    """UTF-8 where the whole file is that; else Windows' Latin-1, unless it lacks a byte; else Latin-1."""
    for encoding in ("utf-8", "cp1252"):
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            with opened(path) as file:
                while chunk := file.read(_SAMPLE_BYTES):
                    decoder.decode(chunk)
                decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"
