"""A disk that can be filled: a small tmpfs over a folder, where this machine lets us mount one."""

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fraudstream.files import delete

MIB = 2**20


class NoMountError(Exception):
    """This machine lets us mount nothing; the message says why."""


def mount(folder: Path, size_mib: int) -> None:
    """Puts a tmpfs over `folder`, with what the folder held. Nobody may use it meanwhile. Raises NoMountError."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size_mib}m,mode={folder.stat().st_mode & 0o777:o}"
    with _copied(folder):
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NoMountError(done.stderr.strip() or f"mount ended with exit status {done.returncode}")


def give_back(folder: Path) -> None:
    """Takes the tmpfs away; what it held lies on the large disk again. Nobody may use it meanwhile."""
    with _copied(folder):
        unmount(folder)
        for entry in folder.iterdir():
            delete(entry)


def unmount(folder: Path) -> None:
    """Takes the tmpfs away, with all that it holds."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def _copied(folder: Path) -> Iterator[None]:
    """Takes a copy of what is in `folder` now, and puts it there at the end."""
    with tempfile.TemporaryDirectory() as aside:
        shutil.copytree(folder, aside, symlinks=True, dirs_exist_ok=True)
        yield
        shutil.copytree(aside, folder, symlinks=True, dirs_exist_ok=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leaves not one byte free on `folder`'s file system until the end."""
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            for size in (MIB, 4096, 1):
                _write_until_full(file.fileno(), size)
        yield
    finally:
        filler.unlink()


def _write_until_full(file: int, size: int) -> None:
    while True:
        try:
            os.write(file, b"\0" * size)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return
