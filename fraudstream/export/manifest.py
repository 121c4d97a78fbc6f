"""The manifest of an export: whose data it is, of which days, and each file with its rows, sums and hash."""

import os
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
from msgspec import Struct

from fraudstream.errors import FraudstreamError
from fraudstream.export.reading import Period
from fraudstream.files import write_atomically

MANIFEST = "manifest.json"
#: Of the manifest and of the files.
SCHEMA_VERSION = 1


class ExportError(FraudstreamError):
    """An export can't be written; the message names the folder, file or value, and what to do."""


class File(Struct, frozen=True, kw_only=True):
    """A file of a dataset. `sums` are exact, and texts for that."""

    path: str
    day: date
    rows: int
    sums: dict[str, Decimal]
    bytes: int
    sha256: str


class Exported(Struct, kw_only=True):
    """A dataset: all its files, and their rows and sums together."""

    rows: int = 0
    sums: dict[str, Decimal] = {}
    files: list[File] = []

    def add(self, file: File) -> None:
        """Adds a file."""
        self.rows += file.rows
        self.sums = {name: self.sums.get(name, Decimal(0)) + value for name, value in file.sums.items()}
        self.files.append(file)


class Book(Struct, frozen=True, kw_only=True):
    """A figure of the platform's books beside the export's: equal, but for what retention deleted."""

    figure: str
    books: Decimal
    exported: Decimal
    retired: Decimal

    @property
    def difference(self) -> Decimal:
        """What is missing from the export, or in it beyond the books; 0 when they agree."""
        return self.books - self.retired - self.exported

    @property
    def told(self) -> str:
        """For people."""
        return (
            f"the books have {self.books} {self.figure}, of which {self.retired} were deleted when they were old, and "
            f"{self.exported} are exported: see ./fraudctl acknowledge"
        )


class Manifest(Struct, kw_only=True):
    """The whole file. `books` are compared when no period was asked for."""

    schema_version: int = SCHEMA_VERSION
    platform: str
    shop_currency: str
    since: date | None = None
    until: date | None = None
    complete: bool = False
    made_at: datetime | None = None
    datasets: dict[str, Exported] = {}
    books: list[Book] = []


def claim(folder: Path, wanted: Manifest) -> None:
    """Makes `folder` the place of this export, or goes on in it.

    An export that is interrupted leaves a manifest that isn't complete, so that nobody takes it for a whole one. Raises
    ExportError where the folder is something else's, and OSError.
    """
    known = _read(folder)
    if known is None and any(folder.iterdir()):
        raise ExportError(f"{folder} isn't empty, and no export: say a new folder")
    if known is not None:
        _check(folder, known, wanted)
    write(folder, wanted)


def write(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest: the old one or the new one, never half of it. Raises OSError."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode()
    write_atomically(folder / MANIFEST, text + "\n")
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(folder: Path) -> Manifest:
    """The manifest of a folder. Raises ExportError where there is none, or another release's."""
    found = _read(folder)
    if found is None:
        raise ExportError(f"{folder} is no export: it has no {MANIFEST}")
    return found


def _read(folder: Path) -> Manifest | None:
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ExportError(f"{path} is no manifest of an export ({error}): say a new folder") from error


def _check(folder: Path, known: Manifest, wanted: Manifest) -> None:
    if known.schema_version != wanted.schema_version:
        raise ExportError(
            f"{folder} is of schema version {known.schema_version}, and this release writes {wanted.schema_version}: "
            "say a new folder"
        )
    if known.platform != wanted.platform:
        raise ExportError(
            f"{folder} holds another platform's data ({known.platform}, and this one is {wanted.platform}; one whose "
            "database was restored is another one, too): say a new folder"
        )
    if (known.since, known.until) != (wanted.since, wanted.until):
        raise ExportError(f"{folder} is an export {_told(known)}: say the same --since and --until, or a new folder")


def _told(manifest: Manifest) -> str:
    since, until = manifest.since, manifest.until
    return " ".join([f"from {since}" if since else "from the beginning", f"until {until}" if until else "without end"])


def period(manifest: Manifest) -> Period:
    """The days that it is of."""
    return Period(manifest.since, manifest.until)
