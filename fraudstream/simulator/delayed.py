"""Messages that are not due yet, kept from one run of the producer to the next: labels, and what is sent late."""

import heapq
from pathlib import Path

import msgspec

from fraudstream.errors import FraudstreamError
from fraudstream.files import write_atomically
from fraudstream.simulator.messages import Message

_FILE = "delayed-messages.json"
_FORMER_FILE = "held-messages.json"  # as producers before this name left it, with the same rows


class DelayedMessagesError(FraudstreamError):
    """The file of delayed messages can't be read."""


class DelayedMessages:
    """Messages by due time. What a stopped producer didn't send is saved in `folder`, and the next run sends it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / _FILE
        self._heap: list[Message] = []

    def load(self, *others: Path) -> None:
        """Takes over, once, what earlier runs left here and in the folders of `others`. Raises DelayedMessagesError."""
        names = [folder / name for folder in (self._folder, *others) for name in (_FORMER_FILE, _FILE)]
        files = [file for file in names if file.exists()]
        for message in [message for file in files for message in _read(file)]:
            self.add(message)
        for file in files:
            file.unlink()

    def add(self, message: Message) -> None:
        """Keeps `message` until it is due."""
        heapq.heappush(self._heap, message)

    def pop_due(self, now_ms: float) -> Message | None:
        """The earliest message, if it is due at `now_ms`."""
        if self._heap and self._heap[0].due_ms <= now_ms:
            return heapq.heappop(self._heap)
        return None

    def save(self) -> None:
        """Leaves what isn't sent to the next run."""
        write_atomically(self._file, msgspec.json.encode([tuple(message) for message in self._heap]).decode())


def _read(file: Path) -> list[Message]:
    try:
        rows = msgspec.json.decode(file.read_bytes(), type=list[tuple[int, str, bytes | None, bytes]])
    except msgspec.DecodeError as error:
        raise DelayedMessagesError(f"{file} is broken ({error}): delete it; its messages are lost") from None
    return [Message(*row) for row in rows]
