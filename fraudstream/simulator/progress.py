"""The signs of life of a running producer: a heartbeat file, and a line in the log."""

import logging
import time
from pathlib import Path

from fraudstream.jobs.heartbeat import State, beat
from fraudstream.simulator.publisher import Publisher

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
LOG_SECONDS = 10.0


class Progress:
    """A heartbeat that goes on while the broker acknowledges messages: a producer that gets nowhere looks stalled."""

    def __init__(self, heartbeat: Path, publisher: Publisher) -> None:
        self._heartbeat = heartbeat
        self._publisher = publisher
        self._beat_at = self._logged_at = time.monotonic()
        self._beat_acknowledged = self._logged_acknowledged = 0
        self._beats = 0

    def write(self, state: State) -> None:
        """Writes the heartbeat now."""
        self._beats += 1
        beat(self._heartbeat, state, self._beats, self._publisher.report)

    def tick(self) -> None:
        """Writes the heartbeat and the log line that are due."""
        now = time.monotonic()
        acknowledged = self._publisher.acknowledged
        waiting = self._publisher.sent > acknowledged
        if now - self._beat_at >= HEARTBEAT_SECONDS and (acknowledged > self._beat_acknowledged or not waiting):
            self._beat_at, self._beat_acknowledged = now, acknowledged
            self.write(State.RUNNING)
        if now - self._logged_at >= LOG_SECONDS:
            rate = (acknowledged - self._logged_acknowledged) / (now - self._logged_at)
            self._logged_at, self._logged_acknowledged = now, acknowledged
            level = logging.WARNING if waiting and not rate else logging.INFO
            log.log(level, "%s, %.0f messages/s acknowledged", self._publisher.report, rate)
