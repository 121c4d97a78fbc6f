"""The replay of a recording: its messages are sent again, at a pace of one's choice."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from fraudstream.simulator.progress import Progress
from fraudstream.simulator.publisher import Publisher
from fraudstream.simulator.recording import Recording, RecordingError, Retiming, usable_times

_SERVE_EVERY = 500


@dataclass(frozen=True)
class Pace:
    """The pace of a replay. `speed`: 1 is the original pace, 10 ten times it, 0 as fast as possible.

    `shift`: each event's time becomes the time at which it is sent. At speed 0 the times keep their distances instead,
    and the last one becomes now.
    """

    speed: float = 1.0
    shift: bool = False

    def retiming(self, recording: Recording, now_ms: float) -> Retiming | None:
        """The change of the recording's times, when it's replayed from `now_ms` on; None: they stay."""
        if not self.shift:
            return None
        if self.speed:
            retiming = Retiming(recording.first_ms, now_ms, self.speed)
            if usable_times(recording.last_ms) and not usable_times(retiming.moved(recording.last_ms)):
                raise RecordingError(f"--speed {self.speed:g} moves the last message beyond 2100: choose a higher one")
            return retiming
        return Retiming(recording.last_ms, now_ms, 1.0, latest_ms=now_ms)


def replay(
    recording: Recording,
    pace: Pace,
    publisher: Publisher,
    progress: Progress,
    stopped: Callable[[], bool],
    limit: int = 0,
) -> int:
    """Sends the recording, `limit` messages at most (0: all), and returns how many. Raises RecordingError."""
    begun = time.time()
    sent = 0
    for message in recording.messages(pace.retiming(recording, begun * 1000)):
        due = 0.0
        if pace.speed and pace.shift:
            due = message.due_ms / 1000
        elif pace.speed:
            due = begun + (message.due_ms - recording.first_ms) / 1000 / pace.speed
        if due > time.time() or not sent % _SERVE_EVERY:
            _wait(due, publisher, progress, stopped)
        if stopped() or (limit and sent >= limit):
            break
        publisher.send(message)
        sent += 1
    return sent


def _wait(due: float, publisher: Publisher, progress: Progress, stopped: Callable[[], bool]) -> None:
    while True:
        publisher.serve()
        progress.tick()
        left = due - time.time()
        if left <= 0 or stopped():
            return
        time.sleep(min(left, 0.05))
