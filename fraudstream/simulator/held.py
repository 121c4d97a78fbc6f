"""Messages that are not due yet, kept from one run of the producer to the next: labels, and what is sent late."""

import heapq
from pathlib import Path

import msgspec

from fraudstream.errors import FraudstreamError
from fraudstream.files import write_atomically
from fraudstream.simulator.messages import Message


class HeldMessagesError(FraudstreamError):
    """The file of held messages can't be read."""


class HeldMessages:
    """Messages by due time. What a stopped producer holds is saved in `file`, and the next one sends it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._heap: list[Message] = []

    def load(self) -> None:
        """Takes over what an earlier run left. Raises HeldMessagesError."""
        if not self._file.exists():
            return
        try:
            rows = msgspec.json.decode(self._file.read_bytes(), type=list[tuple[int, str, bytes | None, bytes]])
        except msgspec.DecodeError as error:
            raise HeldMessagesError(f"{self._file} is broken ({error}): delete it; its messages are lost") from None
        for row in rows:
            self.add(Message(*row))
        self._file.unlink()

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
