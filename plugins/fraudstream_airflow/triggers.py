"""The trigger that watches a long-lived job. It occupies no worker, and may move from one triggerer to the next."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
from airflow.triggers.base import BaseTrigger, TriggerEvent

from fraudstream.jobs.heartbeat import Patience, is_stalled
from fraudstream.jobs.slot import Exit, Identity, Slot
from fraudstream_airflow.events import Ending, JobEvent
from fraudstream_airflow.tail import LogTail

POLL_SECONDS = 1.0
PROGRESS_SECONDS = 60.0
EXIT_STATUS_SECONDS = 2.0
#: No event earlier after the task was handed over. Airflow's scheduler must first read that the launching process has
#: ended: when the task runs again by then, it takes that end for the task's own, and fails it (apache/airflow#71580).
SETTLE_SECONDS = 10.0
STOP_GRACE_SECONDS = 25.0  # below [triggerer] on_kill_timeout


@dataclass(frozen=True)
class Watch:
    """A job to watch: plain values, since they are stored in Airflow's database. Times in seconds."""

    slot: str
    log: str
    log_position: int
    heartbeat_timeout: float
    startup_timeout: float


class JobTrigger(BaseTrigger):
    """Copies the job's log into the task's, and fires when the job has ended or shows no sign of life.

    :param identity: the process, as `fraudstream.jobs.slot.Identity` in plain types
    :param watch: what to watch, as `Watch` in plain types
    """

    def __init__(self, identity: dict[str, Any], watch: dict[str, Any]) -> None:
        super().__init__()
        self.identity = msgspec.convert(identity, Identity)
        self.watch = Watch(**watch)
        self.slot = Slot(self.watch.slot)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The classpath and arguments that make this trigger again, in another triggerer."""
        arguments = {"identity": msgspec.to_builtins(self.identity), "watch": asdict(self.watch)}
        return "fraudstream_airflow.triggers.JobTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watches until there is something to tell, and fires once."""
        self.log.info("Watching process %s; its log is %s", self.identity.pid, self.watch.log)
        tail = LogTail(Path(self.watch.log), self.watch.log_position)
        next_progress, settled = 0.0, time.monotonic() + SETTLE_SECONDS
        while True:
            event = await asyncio.to_thread(self._check)
            for line in await asyncio.to_thread(tail.lines):
                self.log.info("%s", line)
            if event:
                await asyncio.sleep(settled - time.monotonic())  # at once when that is over
                yield TriggerEvent(event.to_payload())
                return
            if time.monotonic() >= next_progress and self._log_progress():
                next_progress = time.monotonic() + PROGRESS_SECONDS
            await asyncio.sleep(POLL_SECONDS)

    async def on_kill(self) -> None:
        """Stops the job: somebody marked the task, cleared it or deleted its run."""
        self.log.info("The task was taken off by a user: stopping process %s", self.identity.pid)
        await asyncio.to_thread(self.slot.stop, self.identity, grace_seconds=STOP_GRACE_SECONDS)
        self.log.info("Process %s has ended", self.identity.pid)

    def _check(self) -> JobEvent | None:
        if not self.identity.alive:
            return self._ended()
        heartbeat, age = self.slot.heartbeat_of(self.identity), self.slot.heartbeat_age(self.identity)
        if not is_stalled(heartbeat, age, Patience(self.watch.startup_timeout, self.watch.heartbeat_timeout)):
            return None
        if heartbeat is None:
            return self._event(Ending.SILENT, f"gave no heartbeat within {age:.0f} s of its launch")
        return self._event(Ending.STALLED, f"gave no heartbeat for {age:.0f} s")

    def _ended(self) -> JobEvent:
        ended = self._exit()
        shown = str(ended or "exit status unknown")
        if self.slot.stop_requested(self.identity):
            return self._event(Ending.STOPPED, f"was stopped on request ({shown})")
        if ended and ended.status == os.EX_OK:
            return self._event(Ending.FINISHED, "ended by itself (exit status 0)")
        if ended and ended.status == os.EX_CONFIG:
            return self._event(Ending.REFUSED, f"refuses to go on: {self._problem()}")
        return self._event(Ending.DIED, f"died ({shown})")

    def _exit(self) -> Exit | None:
        """The job's end. Its parent needs a moment to write that down, and after a reboot nobody knows."""
        deadline = time.monotonic() + EXIT_STATUS_SECONDS
        while time.monotonic() < deadline:
            if ended := self.slot.exit_of(self.identity):
                return ended
            time.sleep(0.1)
        return None

    def _problem(self) -> str:
        """Its last words, if it had any."""
        heartbeat = self.slot.heartbeat_of(self.identity)
        return (heartbeat.problem if heartbeat else "") or "see the end of its log"

    def _event(self, ending: Ending, detail: str) -> JobEvent:
        return JobEvent(ending, detail, self.identity)

    def _log_progress(self) -> bool:
        heartbeat = self.slot.heartbeat_of(self.identity)
        if heartbeat:
            self.log.info("Progress: %s, %s", heartbeat.state, heartbeat.progress)
        return heartbeat is not None
