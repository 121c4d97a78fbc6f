"""Writes snapshots. Needs pyarrow, which the small environment of `fraudctl` itself doesn't have."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fraudstream.files import private_folder, write_atomically
from fraudstream.snapshots.folders import DRAFT, Snapshot, sha256_of
from fraudstream.snapshots.manifest import MANIFEST, PROFILES, Manifest, Moment, Part, SnapshotError, dump

SCHEMA = pa.schema([("customer_id", pa.string()), ("expires_ms", pa.int64()), ("profile", pa.binary())])
COMPRESSION = "zstd"
PART = "part-{:05d}.parquet"


def write(root: Path, name: str, batches: Iterable[pa.RecordBatch], moment: Moment) -> Snapshot:
    """Writes a snapshot `name` in `root` of `batches` in `SCHEMA`, each customer once. Raises SnapshotError."""
    with draft(root, name) as folder:
        write_part(folder, 0, batches)
        return seal(folder, root / name, moment)


@contextmanager
def draft(root: Path, name: str) -> Iterator[Path]:
    """A folder for a snapshot that is being made, gone at the end; `seal` gives it its name. Raises SnapshotError."""
    if (root / name).exists():
        raise SnapshotError(f"there is a snapshot {root / name} already")
    private_folder(root)
    folder = Path(tempfile.mkdtemp(dir=root, prefix=f"{DRAFT}{name}-"))
    try:
        (folder / PROFILES).mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_part(folder: Path, number: int, batches: Iterable[pa.RecordBatch]) -> None:
    """Writes a file of profiles into a draft; several processes may write one each. Raises SnapshotError."""
    file = folder / PROFILES / PART.format(number)
    with pq.ParquetWriter(file, SCHEMA, compression=COMPRESSION) as writer:
        for batch in batches:
            if batch.schema.names != SCHEMA.names:
                raise SnapshotError(f"a snapshot has the columns {SCHEMA.names}, not {batch.schema.names}")
            writer.write_batch(batch.cast(SCHEMA))


def seal(folder: Path, final: Path, moment: Moment, customers: int | None = None) -> Snapshot:
    """Makes a draft the snapshot `final`: with a manifest of all files of profiles in it.

    Raises SnapshotError, also when these don't hold as many `customers` as their maker counted.
    """
    files = set((folder / PROFILES).iterdir())
    named = sorted(file for file in files if fnmatch(file.name, "part-*.parquet"))
    for other in files.difference(named):  # Hadoop's checksums, and marks of Spark's
        other.unlink()
    parts = tuple(_part(folder, file) for file in named)
    written = sum(part.rows for part in parts)
    if customers not in (None, written):
        raise SnapshotError(f"the snapshot's files hold {written} customers, and not the {customers} that were read")
    manifest = Manifest(made_at=datetime.now(UTC), moment=moment, customers=written, parts=parts)
    write_atomically(folder / MANIFEST, dump(manifest))
    try:
        folder.rename(final)
    except OSError as error:
        raise SnapshotError(f"the snapshot can't be named {final}: {error.strerror}") from error
    return Snapshot(final, manifest)


def _part(folder: Path, file: Path) -> Part:
    rows = pq.read_metadata(file).num_rows
    return Part(name=str(file.relative_to(folder)), sha256=sha256_of(file), rows=rows, bytes=file.stat().st_size)
