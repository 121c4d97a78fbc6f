"""A past without the customers who were erased: nobody comes back by an import (docs/erasure.md)."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fraudstream.erasure import histories, known
from fraudstream.erasure.known import Erased, Version
from fraudstream.files import delete, private_folder
from fraudstream.storage.connect import Postgres
from model.past.folder import PastError
from model.training.history import HistoryFolder

_NAME_DIGITS = 12  # of the fingerprint, in the copy's name


@dataclass(frozen=True)
class Cleaned:
    """A history without the customers who were erased until `version`; `rows` of them were left out."""

    folder: HistoryFolder
    version: Version
    rows: int = 0

    @property
    def told(self) -> str:
        """What was left out, in one line."""
        return f"left out: {self.rows:,} rows of customers who were erased (docs/erasure.md)"


@contextmanager
def without_erased(
    mapped: Path, folder: HistoryFolder, fingerprint: str, erasures: tuple[Version, Erased]
) -> Iterator[Cleaned]:
    """The history without the erased, who are those of `known.newest`.

    A history below `mapped` loses the rows. Any other is somebody's own: a copy there takes its place, which stays
    unless the caller fails. Raises PastError when nothing remains, and OSError.
    """
    version, erased = erasures
    everybody = folder.everybody().to_pylist() if erased else []
    until_ms = {name: until for name in everybody if (until := erased.until(name)) is not None}

    def is_erased(customer: str, at: datetime | None) -> bool:
        until = until_ms.get(customer)
        return until is not None and (at is None or at.timestamp() * 1000 <= until)

    if not until_ms:
        yield Cleaned(folder, version)
        return
    ours = folder.path.resolve().is_relative_to(mapped.resolve())
    path = folder.path if ours else _copy(folder.path, private_folder(mapped) / fingerprint[:_NAME_DIGITS])
    try:
        rows = histories.erase_in(path, is_erased)
        if not HistoryFolder(path).events():
            raise PastError(f"all customers of {folder.path} were erased: nothing of it can be imported")
        yield Cleaned(HistoryFolder(path), version, rows)
    except BaseException:
        if not ours:
            delete(path)
        raise


def refuse_newer(connection: Postgres, version: Version) -> None:
    """Raises PastError when somebody was erased after `version`, whom the import may hold."""
    if known.newest(connection)[0] != version:
        raise PastError("a customer was erased meanwhile: nothing is changed, import again")


def _copy(path: Path, copy: Path) -> Path:
    delete(copy)
    shutil.copytree(path, copy)  # links to other files become files
    return copy
