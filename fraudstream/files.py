"""Files that are either the old ones or the new ones, never half of each; folders; encodings."""

import codecs
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> bool:
    """Writes `text` with `mode`, and tells whether that changed anything. The folder is made when missing."""
    if path.is_file() and path.read_text() == text and path.stat().st_mode & 0o777 == mode:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True


def private_folder(path: Path) -> Path:
    """Makes a folder that only its owner can enter."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def delete(path: Path) -> None:
    """Deletes a file, a link, or a folder with all that it holds. What another process deletes meanwhile is no error.

    A JVM whose driver has ended may still be deleting its temporary files. Raises OSError.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=_unless_gone)
    else:
        path.unlink(missing_ok=True)


def _unless_gone(
    _call: Callable[..., object], _path: str, error: tuple[type[BaseException], BaseException, TracebackType]
) -> None:
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]


#: Byte order marks, the longer ones first: that of UTF-16 begins that of UTF-32.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def encoding_by_mark(head: bytes) -> str | None:
    """The encoding of a text that begins with `head`, by its byte order mark, or by zeros beside its first letter."""
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    if len(head) > 1 and 0 in head[:2]:
        return "utf-16-be" if head[0] == 0 else "utf-16-le"
    return None
