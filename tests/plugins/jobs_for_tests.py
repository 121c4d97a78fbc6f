"""A real child process that behaves like a job: heartbeats, a log, a clean end at SIGTERM."""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fraudstream.jobs.slot import Identity, Slot, start_ticks

JOB = """
import json, pathlib, signal, time
ends = []
signal.signal(signal.SIGTERM, lambda *_: ends.append(True))
heartbeat = pathlib.Path("heartbeat.json")
print("hello from the job", flush=True)
while not ends:
    new = heartbeat.with_suffix(".new")
    new.write_text(json.dumps({"at": time.time(), "state": "running", "batch_id": 7, "progress": "7 rows"}))
    new.replace(heartbeat)
    time.sleep(0.05)
print("goodbye", flush=True)
"""


@contextmanager
def running_job(script: str = JOB) -> Iterator[tuple[Slot, Identity, Path]]:
    """Launches the job in a slot of its own; ends it on leaving."""
    with tempfile.TemporaryDirectory() as folder:
        slot, log = Slot(folder), Path(folder) / "job.log"
        identity, _ = slot.launch(
            [sys.executable, "-c", script], environment=dict(os.environ), directory=slot.folder, log=log
        )
        try:
            yield slot, identity, log
        finally:
            if slot.running:
                slot.stop(slot.running, grace_seconds=1)
            until(lambda: start_ticks(identity.group) is None)  # its parent writes into the folder until then


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Polls until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("did not happen in time")
        time.sleep(0.02)


async def until_async(condition: Callable[[], object], seconds: float = 60) -> None:
    """Polls until it is so, and lets others work."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("did not happen in time")
        await asyncio.sleep(0.02)


def write_heartbeat(slot: Slot, at: float, state: str) -> None:
    """A heartbeat of the given time, in the job's name."""
    (slot.folder / "heartbeat.json").write_text(json.dumps({"at": at, "state": state}))
