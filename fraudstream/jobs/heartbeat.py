"""A long-lived job's sign of life: a small file that its supervisor and `fraudctl status` read."""

import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from fraudstream.files import write_atomically

#: The file in a job's folder.
HEARTBEAT = "heartbeat.json"


class State(StrEnum):
    """Activities that a job reports."""

    STARTING = "starting"
    RUNNING = "running"
    IDLE = "idle"  # alive, with nothing to do
    STOPPING = "stopping"
    FAILED = "failed"  # it has ended; `problem` says why


class Heartbeat(msgspec.Struct, frozen=True):
    """A job's word about itself, at least every few seconds. `at` is in epoch seconds.

    `problem` is what a person should see to, though the job goes on; empty when all is well.
    """

    at: float
    state: State
    batch_id: int = -1
    progress: str = ""
    problem: str = ""

    @property
    def starting(self) -> bool:
        """True for a job that has not begun its work: its next heartbeat may take as long as a first one."""
        return self.state is State.STARTING


@dataclass(frozen=True)
class Patience:
    """The longest times without a heartbeat, in seconds: for a job that starts, and for one at work."""

    starting: float
    working: float


def is_stalled(heartbeat: Heartbeat | None, age: float, patience: Patience) -> bool:
    """True for a living job that gave no heartbeat for too long.

    `heartbeat` is the job's newest one, or None before its first; `age` is in seconds, since then or since its launch.
    """
    at_work = heartbeat is not None and not heartbeat.starting
    return age > (patience.working if at_work else patience.starting)


def beat(path: Path, state: State, batch_id: int = -1, progress: str = "", problem: str = "") -> None:
    """Replaces the heartbeat file."""
    content = msgspec.json.encode(Heartbeat(time.time(), state, batch_id, progress, problem)).decode()
    write_atomically(path, content, mode=0o644)
