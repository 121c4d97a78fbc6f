"""Cleaning Airflow's database: old runs and log rows go; a Dag's newest run stays, and those of the jobs."""

import os
import sqlite3
import subprocess
import sys
import unittest
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fraudstream_airflow.clean import clean_commands, lacks

RUN = """
INSERT INTO dag_run (dag_id, run_id, run_type, start_date, run_after, state, clear_number, queued_at, creating_job_id)
VALUES (?, ?, ?, ?, ?, ?, 0, ?, NULL)
"""
TASK = """
INSERT INTO task_instance (id, task_id, dag_id, run_id, start_date, state, try_number, pool, pool_slots)
VALUES (?, 'a task', ?, ?, ?, ?, 1, 'default_pool', 1)
"""
NOW = datetime.now(UTC)
OLD, OLDER = NOW - timedelta(days=40), NOW - timedelta(days=60)
RUNS = (
    ("reconcile_stream", "older", "scheduled", OLDER, "success"),
    ("reconcile_stream", "newest", "scheduled", OLD, "success"),
    ("train_fraud_model", "by a person", "manual", OLD, "success"),
    ("fraud_scoring_stream", "for weeks", "scheduled", OLD, "deferred"),
    ("event_producer", "for weeks, too", "manual", OLD, "deferred"),
)
JOBS = {"for weeks", "for weeks, too"}


class CleanTest(unittest.TestCase):
    def test_old_runs_and_log_rows_go_but_those_of_the_jobs(self) -> None:
        subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
        [file] = Path(os.environ["AIRFLOW_HOME"]).glob("*.db")
        with sqlite3.connect(file) as database:
            for dag, run, kind, start, state in RUNS:
                time = start.strftime("%F %T.000000")
                run_state = "running" if state == "deferred" else state
                database.execute(RUN, (dag, run, kind, time, time, run_state, time))
                database.execute(TASK, (uuid.uuid4().hex, dag, run, time, state))
            for event, start in (("old", OLD), ("new", NOW)):
                database.execute("INSERT INTO log (event, dttm) VALUES (?, ?)", (event, start.strftime("%F %T.000000")))
        commands = clean_commands(NOW - timedelta(days=14))
        for command in commands:
            self.assertFalse(lacks(self._last_line(command)))
        with sqlite3.connect(file) as database:
            kept = {run for (run,) in database.execute("SELECT run_id FROM dag_run")}
            tasks = {run for (run,) in database.execute("SELECT run_id FROM task_instance")}
            events = {event for (event,) in database.execute("SELECT event FROM log")}
        self.assertEqual(kept, JOBS | {"newest"})
        self.assertEqual(tasks, JOBS)
        self.assertIn("new", events)
        self.assertNotIn("old", events)
        with sqlite3.connect(file) as database:
            database.execute("ALTER TABLE log RENAME COLUMN dttm TO another")
        self.assertTrue(lacks(self._last_line(commands[-1])), "a table that can't be cleaned")

    def _last_line(self, command: list[str]) -> str:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout.splitlines()[-1]
