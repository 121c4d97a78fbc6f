"""Labels that are not due yet, kept from one run of the producer to the next."""

import heapq
from pathlib import Path

import msgspec

from fraudstream.errors import FraudstreamError
from fraudstream.files import write_atomically
from fraudstream.simulator.messages import Message


class PendingLabelsError(FraudstreamError):
    """The file of pending labels can't be read."""


class PendingLabels:
    """Labels by due time. A stopped producer's labels are saved in `file`, and the next one sends them."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._heap: list[Message] = []

    def load(self) -> None:
        """Takes over what an earlier run left. Raises PendingLabelsError."""
        if not self._file.exists():
            return
        try:
            rows = msgspec.json.decode(self._file.read_bytes(), type=list[tuple[int, str, str, str]])
        except msgspec.DecodeError as error:
            raise PendingLabelsError(f"{self._file} is broken ({error}): delete it; its labels are lost") from None
        for due_ms, topic, key, value in rows:
            self.add(Message(due_ms, topic, key.encode(), value.encode()))
        self._file.unlink()

    def add(self, message: Message) -> None:
        """Keeps `message` until it is due."""
        heapq.heappush(self._heap, message)

    def pop_due(self, now_ms: float) -> Message | None:
        """The earliest label, if it is due at `now_ms`."""
        if self._heap and self._heap[0].due_ms <= now_ms:
            return heapq.heappop(self._heap)
        return None

    def save(self) -> None:
        """Leaves what isn't sent to the next run."""
        rows = [(m.due_ms, m.topic, (m.key or b"").decode(), m.value.decode()) for m in self._heap]
        write_atomically(self._file, msgspec.json.encode(rows).decode())
