"""The trigger: what it tells, and when it stops the job. With real processes."""

import asyncio
import importlib
import logging
import os
import signal
import time
import unittest
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
from airflow.triggers.base import BaseTrigger
from fraudstream_airflow import triggers
from fraudstream_airflow.events import Ending, JobEvent
from fraudstream_airflow.triggers import JobTrigger, Watch

from fraudstream.jobs.slot import Identity, Slot
from tests.plugins.jobs_for_tests import running_job, until, until_async, write_heartbeat

SILENT = "import signal; signal.pause()"


def trigger_for(slot: Slot, identity: Identity, log: Path, *, heartbeat: float = 60, startup: float = 60) -> JobTrigger:
    watch = Watch(str(slot.folder), str(log), 0, heartbeat, startup)
    return JobTrigger(msgspec.to_builtins(identity), asdict(watch))


async def event_of(trigger: BaseTrigger) -> JobEvent:
    async with asyncio.timeout(20):
        async for event in trigger.run():
            return JobEvent.from_payload(event.payload)
    raise AssertionError("the trigger ended without an event")


class TriggerTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        self.addCleanup(setattr, triggers, "POLL_SECONDS", triggers.POLL_SECONDS)
        triggers.POLL_SECONDS = 0.05
        self.addCleanup(setattr, triggers, "SETTLE_SECONDS", triggers.SETTLE_SECONDS)
        triggers.SETTLE_SECONDS = 0.0

    async def test_it_can_be_made_again_elsewhere(self) -> None:
        with running_job() as job:
            classpath, arguments = trigger_for(*job).serialize()
            module, name = classpath.rsplit(".", 1)
            again = getattr(importlib.import_module(module), name)(
                **msgspec.json.decode(msgspec.json.encode(arguments))
            )
            self.assertEqual(again.identity, job[1])
            self.assertEqual(again.serialize(), (classpath, arguments))

    async def test_a_killed_job_is_told_with_its_signal(self) -> None:
        with running_job() as (slot, identity, log):
            os.kill(identity.pid, signal.SIGKILL)
            event = await event_of(trigger_for(slot, identity, log))
        self.assertEqual((event.ending, event.detail), (Ending.DIED, "died (killed by SIGKILL)"))
        self.assertEqual(event.identity, identity)

    async def test_a_job_that_ends_at_once_is_told_when_airflow_has_settled(self) -> None:
        triggers.SETTLE_SECONDS = 1.0
        with running_job("raise SystemExit(3)") as job:
            await until_async(lambda: job[0].exit_of(job[1]))
            begun = time.monotonic()
            event = await event_of(trigger_for(*job))
            self.assertGreaterEqual(time.monotonic() - begun, 1.0)
        self.assertIs(event.ending, Ending.DIED)

    async def test_a_failed_job_is_told_with_its_status(self) -> None:
        with running_job("raise SystemExit(3)") as job:
            event = await event_of(trigger_for(*job))
        self.assertEqual((event.ending, event.detail), (Ending.DIED, "died (exit status 3)"))

    async def test_a_job_that_refuses_is_told_with_its_problem(self) -> None:
        said = "import json, time; open('heartbeat.json', 'w').write(json.dumps("
        said += "{'at': time.time(), 'state': 'failed', 'problem': 'no checkpoint'})); raise SystemExit(78)"
        with running_job(said) as job:
            event = await event_of(trigger_for(*job))
        self.assertEqual((event.ending, event.detail), (Ending.REFUSED, "refuses to go on: no checkpoint"))

    async def test_a_job_that_ends_well_has_finished(self) -> None:
        with running_job("pass") as job:
            event = await event_of(trigger_for(*job))
        self.assertIs(event.ending, Ending.FINISHED)

    async def test_a_job_that_was_stopped_on_request_has_not_failed(self) -> None:
        with running_job() as (slot, identity, log):
            until(lambda: slot.heartbeat_of(identity))
            slot.stop(identity)
            event = await event_of(trigger_for(slot, identity, log))
        self.assertIs(event.ending, Ending.STOPPED)

    async def test_a_frozen_job_is_stalled(self) -> None:
        with running_job() as (slot, identity, log):
            until(lambda: slot.heartbeat_of(identity))
            os.kill(identity.pid, signal.SIGSTOP)
            event = await event_of(trigger_for(slot, identity, log, heartbeat=0.3))
            self.assertIs(event.ending, Ending.STALLED)
            self.assertTrue(identity.alive, "it is the operator who stops it")

    async def test_a_job_without_a_first_heartbeat_is_silent(self) -> None:
        with running_job(SILENT) as job:
            event = await event_of(trigger_for(*job, heartbeat=0.01, startup=0.3))
        self.assertIs(event.ending, Ending.SILENT)

    async def test_a_job_that_starts_has_more_time_than_one_at_work(self) -> None:
        for state, ending in [("starting", None), ("running", Ending.STALLED)]:
            with self.subTest(state), running_job(SILENT) as (slot, identity, log):
                write_heartbeat(slot, identity.launched_at, state)
                until(lambda slot=slot, identity=identity: slot.heartbeat_age(identity) > 0.1)
                event = trigger_for(slot, identity, log, heartbeat=0.1)._check()
                self.assertIs(event and event.ending, ending)

    async def test_the_jobs_log_and_progress_are_in_the_tasks_log(self) -> None:
        with running_job() as (slot, identity, log), self.assertLogs("task", "INFO") as task_log:
            trigger = trigger_for(slot, identity, log)
            trigger._log = logging.getLogger("task")  # a triggerer puts the task's log there
            watching = asyncio.create_task(event_of(trigger))
            await until_async(lambda: any("7 rows" in line for line in task_log.output))
            os.kill(identity.pid, signal.SIGTERM)
            await watching
        said = [record.getMessage() for record in task_log.records]
        self.assertLess(said.index("hello from the job"), said.index("Progress: running, 7 rows"))
        self.assertIn("goodbye", said)

    async def test_a_user_who_ends_the_task_ends_the_job(self) -> None:
        with running_job() as (slot, identity, log):
            until(lambda: slot.heartbeat_of(identity))
            await trigger_for(slot, identity, log).on_kill()
            self.assertFalse(identity.alive)
            until(lambda: slot.exit_of(identity))
            self.assertEqual(str(slot.exit_of(identity)), "exit status 0")

    async def test_a_triggerer_that_goes_away_leaves_the_job_alone(self) -> None:
        with running_job() as (slot, identity, log):
            trigger = trigger_for(slot, identity, log)
            watching: asyncio.Task[Any] = asyncio.create_task(event_of(trigger))
            await until_async(lambda: slot.heartbeat_of(identity))
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await trigger.cleanup()
            self.assertTrue(identity.alive)


if __name__ == "__main__":
    unittest.main()
