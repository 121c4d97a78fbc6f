"""Cleaning Airflow's database: old runs and log rows go, a Dag's newest run stays."""

import os
import sqlite3
import subprocess
import sys
import unittest
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fraudstream_airflow.clean import clean_command

RUN = """
INSERT INTO dag_run (dag_id, run_id, run_type, start_date, run_after, state, clear_number, queued_at, creating_job_id)
VALUES (?, ?, 'scheduled', ?, ?, ?, 0, ?, NULL)
"""


class CleanTest(unittest.TestCase):
    def test_old_runs_and_log_rows_go_and_the_newest_run_stays(self) -> None:
        home = Path(os.environ["AIRFLOW_HOME"])
        subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
        now = datetime.now(UTC)
        old, older = now - timedelta(days=40), now - timedelta(days=60)
        with sqlite3.connect(home / self._database(home)) as database:
            database.execute("PRAGMA foreign_keys = OFF")
            for run_id, start, state in (("older", older, "success"), ("old and running", old, "running")):
                time = start.strftime("%Y-%m-%d %H:%M:%S.000000")
                database.execute(RUN, ("stream", run_id, time, time, state, time))
            for event, start in (("old", old), ("new", now)):
                database.execute("INSERT INTO log (event, dttm) VALUES (?, ?)", (event, start.strftime("%F %T.000000")))
        command = clean_command(now - timedelta(days=14))
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with sqlite3.connect(home / self._database(home)) as database:
            self.assertEqual(database.execute("SELECT run_id FROM dag_run").fetchall(), [("old and running",)])
            events = {event for (event,) in database.execute("SELECT event FROM log")}
        self.assertIn("new", events)
        self.assertNotIn("old", events)

    @staticmethod
    def _database(home: Path) -> str:
        [found] = home.glob("*.db")
        return found.name
