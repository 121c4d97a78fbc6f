"""The past in a shop's own files: mapped into a history first, which is kept as long as the platform has that past."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fraudstream.errors import UsageError
from fraudstream.failpoints import Failpoint, reach
from fraudstream.files import delete, private_folder
from fraudstream.mappings.history import Written, write_history
from fraudstream.messages.mapping.fields import Kind
from fraudstream.messages.mapping.file import Mapping, MappingError, read_mapping
from fraudstream.settings import Settings
from model.features.profile import PROFILE_LAYOUT
from model.past.folder import fingerprint
from model.past.importing import Options, import_history
from model.past.progress import shown
from model.training.history import HistoryFolder

_DRAFT = ".draft"
_NAME_DIGITS = 12  # of the fingerprint, in the folder's name


@dataclass(frozen=True)
class Files:
    """A shop's file or folder with its mapping, and the option that named it; `kind` is what it must hold."""

    option: str
    data: Path | None
    mapping: Path | None
    kind: Kind

    def read(self) -> tuple[Path, Mapping] | None:
        """The data and its mapping; None when neither is given. Raises UsageError and MappingError."""
        if self.data is None and self.mapping is None:
            return None
        if self.data is None or self.mapping is None:
            raise UsageError(f"{self.option} needs both its DATA and its mapping FILE")
        mapping = read_mapping(self.mapping)
        if mapping.source.kind is not self.kind:
            raise MappingError(f"mapping {self.mapping}: source.kind = '{mapping.source.kind}', not '{self.kind}'")
        return self.data, mapping


def import_mapped(settings: Settings, files: Sequence[Files], options: Options) -> tuple[bool, Written]:
    """Maps a shop's files, and imports the history that they make. Returns whether it was new, and what was mapped.

    Raises what `import_history` does, MappingError, DataError, and UsageError. A failed import leaves no file.
    """
    sources = [source for each in files if (source := each.read())]
    with _draft(settings) as draft:
        with shown("mapped", "rows") as show:
            written = write_history(draft, sources, show)
            show(written.rows)
        mapped = fingerprint(HistoryFolder(draft), PROFILE_LAYOUT, settings.shop.currency)
        folder = settings.paths.mapped / mapped[:_NAME_DIGITS]
        known = folder.exists()
        if not known:
            draft.rename(folder)
    reach(Failpoint.AFTER_IMPORT_MAPPING)
    try:
        new = import_history(settings, folder, options, mapped)
    except BaseException:
        if not known:
            delete(folder)
        raise
    _delete_others(settings, folder)
    return new, written


@contextmanager
def _draft(settings: Settings) -> Iterator[Path]:
    draft = private_folder(settings.paths.mapped) / _DRAFT
    delete(draft)
    try:
        yield draft
    finally:
        delete(draft)


def _delete_others(settings: Settings, kept: Path) -> None:
    """A platform has one past: the files of those before are in nobody's way, but take space."""
    for other in settings.paths.mapped.iterdir():
        if other != kept:
            delete(other)
