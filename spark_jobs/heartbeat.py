"""The job's sign of life: a small file, replaced atomically, that its supervisor and `fraudctl status` read."""

import json
import time
from enum import StrEnum
from pathlib import Path


class State(StrEnum):
    """What the job is doing."""

    STARTING = "starting"
    RUNNING = "running"
    IDLE = "idle"
    STOPPING = "stopping"


class Heartbeat:
    """Writes `{"at": epoch seconds, "state", "batch_id", "progress"}`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def beat(self, state: State, batch_id: int = -1, progress: str = "") -> None:
        """Replaces the file."""
        content = {"at": time.time(), "state": state, "batch_id": batch_id, "progress": progress}
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(content))
        temporary.replace(self._path)
