"""The pace of micro-batches: the next begins when messages wait and the last has ended, at most so often.

Spark's own timer begins them at multiples of its interval, so that a message waits for half of it on average, and a
backlog for the rest of it in each micro-batch.
"""

import threading
import time

#: While nothing comes, Kafka is asked so often: at first, and in the end.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.01, 0.2


class Pace:
    """When a query's next micro-batch may be planned."""

    def __init__(self, floor_seconds: float, stop: threading.Event) -> None:
        """`floor_seconds` lie between the beginnings of two micro-batches, at least, unless more messages wait."""
        self._floor_seconds = floor_seconds
        self._stop = stop
        self._next = 0.0  # of `time.monotonic()`
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self.is_idle = False  # True while no message waits

    def take_turn(self) -> bool:
        """Waits until the next micro-batch may be planned; False once the query is to stop, and there is none."""
        return not self._stop.wait(max(0.0, self._next - time.monotonic()))

    def planned(self, *, messages: bool, more: bool) -> None:
        """Tells what was planned: whether it has messages, and whether more of them wait."""
        now = time.monotonic()
        self.is_idle = not messages
        if messages:
            self._next = now if more else now + self._floor_seconds
            self._pause_seconds = FIRST_PAUSE_SECONDS
        else:
            self._next = now + self._pause_seconds
            self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
