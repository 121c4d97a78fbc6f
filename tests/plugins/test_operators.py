"""The operators: they launch or adopt, hand over to the trigger, and decide what its event means."""

import os
import tempfile
import unittest
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from airflow.sdk.exceptions import TaskDeferred
from fraudstream_airflow.events import Ending, JobEvent
from fraudstream_airflow.operators import REFUSED_SECONDS, JobEndedError, ProcessStreamOperator, SparkModuleOperator

from fraudstream.jobs.jobs import jobs
from fraudstream.jobs.slot import Identity, start_ticks
from fraudstream.settings import load_settings
from tests.plugins.jobs_for_tests import until

FAKE_PYTHON = """#!/bin/sh
[ "$2" = telling ] && { echo some words; echo '{"answer": 42}'; exit 0; }
[ "$2" = finite ] && { echo "arguments: $*"; exit "$3"; }
trap 'exit 0' TERM
echo '{"at": 9999999999, "state": "running"}' > "$FRAUDSTREAM_VAR_DIR/producer/heartbeat.json"
while :; do sleep 0.1; done
"""
CONTEXT: Any = {"ti": SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)}


class OperatorTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        python = Path(folder.name) / "venvs" / "spark" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(FAKE_PYTHON)
        python.chmod(0o755)
        variables = {"FRAUDSTREAM_VAR_DIR": folder.name, "AIRFLOW__CORE__FERNET_KEY": "never for the job"}
        environment = patch.dict(os.environ, variables)
        environment.start()
        self.addCleanup(environment.stop)
        self.job = jobs(load_settings())["producer"]
        self.addCleanup(self.stop)

    def stop(self) -> None:
        if running := self.job.slot.running:
            self.job.slot.stop(running, grace_seconds=2)
        if last := self.job.slot.identity:
            until(lambda: start_ticks(last.group) is None)  # its parent writes into the folder until then

    def operator(self, **options: Any) -> ProcessStreamOperator:
        return ProcessStreamOperator(task_id="t", job="producer", module="m", arguments=["produce"], **options)

    def launch(self) -> Identity:
        with self.assertRaises(TaskDeferred) as deferred:
            self.operator().execute(CONTEXT)
        self.assertEqual(deferred.exception.method_name, "on_job_event")
        identity: Identity = deferred.exception.trigger.identity
        return identity

    def tell(self, ending: Ending, identity: Identity, **options: Any) -> None:
        event = JobEvent(ending, "did something", identity).to_payload()
        self.operator(**options).on_job_event(CONTEXT, event)

    def test_a_second_attempt_adopts_the_living_job(self) -> None:
        first = self.launch()
        self.assertTrue(first.alive)
        self.assertEqual(self.launch(), first)

    def test_the_job_gets_none_of_airflows_variables(self) -> None:
        identity = self.launch()
        environment = Path(f"/proc/{identity.pid}/environ").read_bytes()
        self.assertIn(b"FRAUDSTREAM_VAR_DIR", environment)
        self.assertNotIn(b"never for the job", environment)

    def test_a_stalled_job_is_stopped_before_the_attempt_fails(self) -> None:
        identity = self.launch()
        with self.assertRaisesRegex(JobEndedError, "'producer' did something"):
            self.tell(Ending.STALLED, identity)
        self.assertFalse(identity.alive)

    def test_a_dead_job_fails_the_attempt(self) -> None:
        with self.assertRaises(JobEndedError):
            self.tell(Ending.DIED, Identity(1, 1, "gone", 1, 0))

    def test_a_job_that_refuses_is_not_started_again_at_once(self) -> None:
        with self.assertRaises(TaskDeferred) as deferred:
            self.tell(Ending.REFUSED, Identity(1, 1, "gone", 1, 0))
        waiting = deferred.exception.trigger.moment - datetime.now(UTC)
        self.assertAlmostEqual(waiting.total_seconds(), REFUSED_SECONDS, delta=5)
        resume = getattr(self.operator(), deferred.exception.method_name)
        with self.assertRaisesRegex(JobEndedError, "'producer' did something"):
            resume(CONTEXT, None, **deferred.exception.kwargs)

    def test_a_job_that_was_stopped_on_request_is_started_again(self) -> None:
        identity = self.launch()
        self.job.slot.stop(identity)
        with self.assertRaises(TaskDeferred) as deferred:
            self.tell(Ending.STOPPED, identity)
        self.assertNotEqual(deferred.exception.trigger.identity, identity)
        self.assertTrue(deferred.exception.trigger.identity.alive)

    def test_only_a_job_that_may_finish_has_succeeded_then(self) -> None:
        ended = Identity(1, 1, "gone", 1, 0)
        self.tell(Ending.FINISHED, ended, may_finish=True)
        with self.assertRaises(JobEndedError):
            self.tell(Ending.FINISHED, ended)

    def test_a_task_that_is_killed_before_it_hands_over_stops_the_job(self) -> None:
        operator = self.operator()
        with self.assertRaises(TaskDeferred):
            operator.execute(CONTEXT)
        until(lambda: self.job.slot.heartbeat)
        operator.on_kill()
        self.assertIsNone(self.job.slot.running)

    def test_a_finite_module_fails_with_its_exit_status(self) -> None:
        SparkModuleOperator(task_id="t", module="finite", arguments=["0"]).execute(CONTEXT)
        with self.assertRaisesRegex(JobEndedError, "finite ended with exit status 3"):
            SparkModuleOperator(task_id="t", module="finite", arguments=["3", ""]).execute(CONTEXT)

    def test_the_last_line_of_a_module_that_returns_json_is_its_xcom(self) -> None:
        told = SparkModuleOperator(task_id="t", module="telling", niceness=5, returns_json=True).execute(CONTEXT)
        self.assertEqual(told, {"answer": 42})
        self.assertIsNone(SparkModuleOperator(task_id="t", module="telling").execute(CONTEXT))


if __name__ == "__main__":
    unittest.main()
