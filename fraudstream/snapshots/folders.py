"""The folder of all snapshots: the newest that can be used, their verification, and the deletion of old ones."""

import hashlib
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from fraudstream.files import delete
from fraudstream.snapshots.manifest import MANIFEST, Manifest, SnapshotError, load

#: What is being made has a name that begins so, and is left over when it is older than DRAFT_SECONDS.
DRAFT = "."
DRAFT_SECONDS = 24 * 3600
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Snapshot:
    """A snapshot with a sound manifest; its files aren't verified by that."""

    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """Its name, unique among all that a platform makes."""
        return self.folder.name


@dataclass(frozen=True)
class Skipped:
    """A snapshot that can't be used, and why, in words that follow its name."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} {self.reason}"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a snapshot. Raises SnapshotError when it is missing, damaged, or of another format."""
    file = folder / MANIFEST
    try:
        return load(file.read_text())
    except OSError as error:
        raise SnapshotError(f"the manifest {file} can't be read: {error.strerror}") from error
    except ValueError as error:  # of JSON, UTF-8 or msgspec, too
        raise SnapshotError(f"the manifest {file} is damaged: {error}") from error


def verify(folder: Path) -> Manifest:
    """Reads every byte of a snapshot. Raises SnapshotError for a file that is missing, or isn't what was written."""
    manifest = read_manifest(folder)
    for part in manifest.parts:
        file = folder / part.name
        try:
            found = sha256_of(file)
        except OSError as error:
            raise SnapshotError(f"{file} of the snapshot can't be read: {error.strerror}") from error
        if found != part.sha256:
            raise SnapshotError(f"{file} of the snapshot is damaged: its SHA-256 is {found}, not {part.sha256}")
    return manifest


def usable(folder: Path, layout: int, currency: str) -> Snapshot:
    """The snapshot in `folder`, verified. Raises SnapshotError, in words that follow its name, when it isn't usable."""
    try:
        snapshot = Snapshot(folder, verify(folder))
    except SnapshotError as error:
        raise SnapshotError(f"can't be used: {error}") from error
    if reason := _misfit(snapshot.manifest, layout, currency):
        raise SnapshotError(reason)
    return snapshot


def newest_usable(
    root: Path, layout: int, currency: str, misfit: Callable[[Manifest], str | None] = lambda _: None
) -> tuple[Snapshot | None, list[Skipped]]:
    """The newest snapshot in `root` that a checkpoint can begin with, verified, and the newer ones that were skipped.

    `misfit` says why one doesn't fit what the caller knows besides, in words that follow the snapshot's name.
    """
    snapshots, skipped = _look(root)
    for snapshot in snapshots:
        try:
            if reason := misfit(snapshot.manifest):
                raise SnapshotError(reason)
            return usable(snapshot.folder, layout, currency), skipped
        except SnapshotError as error:
            skipped.append(Skipped(snapshot.name, str(error)))
    return None, skipped


def newest_first(root: Path) -> list[Snapshot]:
    """All snapshots with a sound manifest."""
    return _look(root)[0]


def prune(root: Path, keep: int, spared: Collection[str] = ()) -> list[str]:
    """Deletes all but the newest `keep` snapshots and those `spared`, and drafts that nobody finishes any more.

    Returns the names of the deleted snapshots. A folder without a sound manifest stays: it isn't known to be one.
    """
    for draft in root.glob(f"{DRAFT}*"):
        if time.time() - draft.stat().st_mtime > DRAFT_SECONDS:
            delete(draft)
    old = [snapshot for snapshot in newest_first(root)[keep:] if snapshot.name not in spared]
    for snapshot in old:
        (snapshot.folder / MANIFEST).unlink()  # first, so that half of a snapshot never looks like a whole one
        delete(snapshot.folder)
    return [snapshot.name for snapshot in old]


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _look(root: Path) -> tuple[list[Snapshot], list[Skipped]]:
    """All snapshots, the newest first, and the folders that aren't sound ones."""
    sound, damaged = [], []
    for folder in _folders(root):
        try:
            sound.append(Snapshot(folder, read_manifest(folder)))
        except SnapshotError as error:
            damaged.append(Skipped(folder.name, f"can't be used: {error}"))
    return sorted(sound, key=lambda snapshot: (snapshot.manifest.made_at, snapshot.name), reverse=True), damaged


def _folders(root: Path) -> Iterator[Path]:
    if root.is_dir():
        yield from (path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(DRAFT))


def _misfit(manifest: Manifest, layout: int, currency: str) -> str | None:
    moment = manifest.moment
    if moment.layout != layout:
        return f"has profiles of layout {moment.layout}, and this release's is {layout}"
    if moment.shop_currency != currency:
        return f"has amounts in {moment.shop_currency}, and the shop currency is {currency}"
    return None
