"""A long-lived job's sign of life: a small file that its supervisor and `fraudctl status` read."""

import time
from enum import StrEnum
from pathlib import Path

import msgspec

from fraudstream.files import write_atomically

#: The file in a job's folder.
HEARTBEAT = "heartbeat.json"


class State(StrEnum):
    """What a job says that it is doing."""

    STARTING = "starting"
    RUNNING = "running"
    IDLE = "idle"  # alive, with nothing to do
    STOPPING = "stopping"
    FAILED = "failed"  # it has ended; `problem` says why


class Heartbeat(msgspec.Struct, frozen=True):
    """What a job says about itself, at least every few seconds. `at` is in epoch seconds.

    `problem` is what a person should see to, though the job goes on; empty when all is well.
    """

    at: float
    state: State
    batch_id: int = -1
    progress: str = ""
    problem: str = ""

    @property
    def starting(self) -> bool:
        """Whether the job has not begun its work: its next heartbeat may take as long as a first one."""
        return self.state is State.STARTING


def beat(path: Path, state: State, batch_id: int = -1, progress: str = "", problem: str = "") -> None:
    """Replaces the heartbeat file."""
    content = msgspec.json.encode(Heartbeat(time.time(), state, batch_id, progress, problem)).decode()
    write_atomically(path, content, mode=0o644)
