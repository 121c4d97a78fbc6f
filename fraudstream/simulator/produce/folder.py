"""The folder of one running producer: its heartbeat, and the messages that it leaves to the next run.

Two producers never share one. The Dag's has the folder of its slot; each run by hand takes the first folder `by-hand-…`
beside it whose lock is free.
"""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import IO

from fraudstream.files import private_folder
from fraudstream.jobs.slot import Slot
from fraudstream.settings import Settings

BY_HAND = "by-hand-"


@contextmanager
def own_folder(settings: Settings) -> Iterator[Path]:
    """The folder of this process, which no other producer gets until the context ends."""
    slot = Slot(settings.paths.producer)
    if slot.is_ours:
        yield slot.folder
        return
    with ExitStack() as held:
        for number in count(1):
            folder = private_folder(slot.folder / f"{BY_HAND}{number}")
            if lock := _lock(folder):
                held.enter_context(lock)
                yield folder
                return


@contextmanager
def idle_folders(settings: Settings) -> Iterator[list[Path]]:
    """Folders of runs by hand that have ended; none begins in them before the context ends."""
    with ExitStack() as held:
        folders = []
        for folder in sorted(settings.paths.producer.glob(f"{BY_HAND}*")):
            if lock := _lock(folder):
                held.enter_context(lock)
                folders.append(folder)
        yield folders


def _lock(folder: Path) -> IO[str] | None:
    """The folder's lock, held as long as the file is open; None when another producer holds it."""
    file = (folder / "lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
