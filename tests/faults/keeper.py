"""Keeps a process running as Airflow keeps the stream: started again after every end, ended when it stalls."""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fraudstream.jobs.jobs import Job
from fraudstream.jobs.slot import Identity, start_ticks
from fraudstream.settings import PROJECT_DIR, Settings

#: Airflow's delay before a retry, `retry_delay`, is 5 s; most of what is measured here is the job's own start.
RETRY_SECONDS = 1.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Launch:
    """How a process is started. `environment` comes on top of the tests' own; `directory` is where it is imported."""

    arguments: tuple[str, ...]
    directory: Path = PROJECT_DIR
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ending:
    """A process that ended, and how: `exit status 1`, or `killed by SIGKILL`; unknown when its parent died too."""

    identity: Identity
    how: str
    at: float  # epoch seconds


class Keeper:
    """A thread that launches a job into its slot, again and again, until it is told to stop."""

    def __init__(self, settings: Settings, job: Job, launch: Launch) -> None:
        self.job = job
        self.launch = launch
        self.endings: list[Ending] = []
        self._settings = settings
        self._coming: deque[Mapping[str, str]] = deque()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins, also after a stop."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._keep, name=f"keeper of {self.job.name}")
        self._thread.start()

    def arm(self, *failpoints: str) -> None:
        """Sets the failpoints of the next processes: the first of them for the next one, and so on."""
        self._coming.extend({"FRAUDSTREAM_STREAM__FAILPOINTS": spec} for spec in failpoints)

    def stop(self) -> None:
        """Ends the process, politely first, and begins no other."""
        self._stop.set()
        if self._thread:
            self._thread.join()
            self._thread = None
        if identity := self.job.slot.running:
            self.job.slot.stop(identity)

    @property
    def started(self) -> bool:
        """Whether it was begun, and not stopped yet."""
        return self._thread is not None

    @property
    def running(self) -> Identity | None:
        """The process that runs now."""
        return self.job.slot.running

    @property
    def problem(self) -> str:
        """What the process says is wrong, though it goes on."""
        return self.job.state(self._settings).problem

    def log(self) -> str:
        """What all its processes said."""
        return self.job.log.read_text(errors="replace")

    def _keep(self) -> None:
        while not self._stop.is_set():
            environment = self._coming.popleft() if self._coming else {}
            identity, _ = self.job.slot.launch(
                (sys.executable, "-m", *self.launch.arguments),
                environment={**os.environ, "PYTHONUNBUFFERED": "1", **self.launch.environment, **environment},
                directory=self.launch.directory,
                log=self.job.log,
            )
            while identity.alive and not self._stop.wait(POLL_SECONDS):
                if self.job.state(self._settings).state == "stalled":
                    self.job.slot.stop(identity)
            if self._stop.is_set():
                return
            died = time.time()
            self._stop.wait(RETRY_SECONDS)
            # Its parent, who leads the group, writes down how it ended, unless it was killed, too.
            while start_ticks(identity.group) and not self.job.slot.exit_of(identity):
                time.sleep(POLL_SECONDS)
            self.endings.append(Ending(identity, str(self.job.slot.exit_of(identity) or "unknown"), died))
