"""One `up`, `down` or `reset` at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from fraudstream.errors import FraudstreamError
from fraudstream.files import private_folder
from fraudstream.settings import Settings


class BusyError(FraudstreamError):
    """Another command is changing the platform."""


@contextmanager
def exclusive(settings: Settings, command: str) -> Iterator[None]:
    """Holds the platform's lock. Raises BusyError, naming the command that holds it."""
    path = private_folder(settings.paths.run) / "fraudctl.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise BusyError(f"./fraudctl {file.read() or 'something'} is at work: wait for its end") from None
        file.truncate(0)
        file.write(command)
        file.flush()
        yield
