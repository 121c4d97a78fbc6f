"""A file of an export: whole or not at all, with a note of what it holds, by which a later run knows it again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudstream.export.datasets import Dataset
from fraudstream.export.reading import Day

#: Of the files' form. A file of another version is written again.
FORM = 1
#: What a killed export leaves, and the next one deletes.
DRAFT = ".draft"
_NOTE = b"fraudstream.export"


def path_of(folder: Path, dataset: Dataset, day: date) -> Path:
    """The file of a dataset's day: named as the parts of a history, so that the folder is one."""
    return folder / dataset.name / f"part-{day.isoformat()}.parquet"


def is_written(path: Path, day: Day) -> bool:
    """Whether a file has the day's rows already, as they are now."""
    try:
        metadata = pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return metadata.num_rows == day.rows and (metadata.metadata or {}).get(_NOTE) == _note(day.content)


class DayFile:
    """The file of a day while it is written, with the rows and sums that it has by now."""

    def __init__(self, writer: pq.ParquetWriter, names: tuple[str, ...]) -> None:
        self._writer = writer
        self.rows = 0
        self.sums = dict.fromkeys(names, Decimal(0))

    def add(self, batch: pa.RecordBatch) -> None:
        """Appends rows."""
        self._writer.write_batch(batch)
        self.rows += len(batch)
        for name in self.sums:
            self.sums[name] += Decimal(pc.sum(batch.column(name)).as_py() or 0)

    def difference(self, day: Day) -> str:
        """What differs from what Postgres counted; empty when nothing does."""
        if self.rows != day.rows:
            return f"{self.rows:,} rows were written, and Postgres counted {day.rows:,}"
        for name, ours in self.sums.items():
            if ours != day.sums[name]:
                return f"{name} adds up to {ours}, and in Postgres to {day.sums[name]}"
        return ""


@contextmanager
def day_file(path: Path, dataset: Dataset, content: str) -> Iterator[DayFile]:
    """A new file in the place of `path` once its context ends well. Raises OSError."""
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name(f"{DRAFT}-{path.name}")
    schema = dataset.schema.with_metadata({_NOTE: _note(content)})
    try:
        with draft.open("wb") as file:
            with pq.ParquetWriter(file, schema, compression="zstd") as writer:
                yield DayFile(writer, dataset.sums)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _note(content: str) -> bytes:
    return f"{FORM} {content}".encode()
