"""The operator that deletes Airflow's own old runs."""

import os
import re
import sys
from datetime import UTC, datetime, timedelta
from functools import cached_property

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from fraudstream.jobs.jobs import DAGS
from fraudstream.jobs.niced import niced
from fraudstream.settings import load_settings

#: Rows of a transaction.
BATCH_ROWS = 5000
#: Airflow sets these in each task, so that it can't reach the database. This one must: it works for the administrator.
WITHHELD = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN")
_NOT_CLEANED = re.compile(r"not cleaned due to errors: \[(.*?)\]")


class CleanAirflowOperator(BaseOperator):
    """Runs `airflow db clean` for runs and logs in the database that are older than the settings say."""

    def execute(self, context: Context) -> None:
        """Cleans. Raises AirflowSkipException where Airflow isn't configured by this platform."""
        settings = load_settings()
        if not (settings.paths.airflow / "airflow.cfg").exists():
            raise AirflowSkipException("this platform doesn't configure Airflow here: use its own database cleanup")
        before = datetime.now(UTC) - timedelta(days=settings.retention.airflow_days)
        environment = {name: value for name, value in os.environ.items() if name not in WITHHELD}
        environment |= {"AIRFLOW_HOME": str(settings.paths.airflow)}
        for command in clean_commands(before):
            result = self._hook.run_command(niced(command, niceness=10), env=environment)
            if result.exit_code != os.EX_OK or lacks(result.output):
                raise AirflowException(f"airflow db clean ended with {result.exit_code}; its output is above")

    def on_kill(self) -> None:
        """Ends it with the task."""
        self._hook.send_sigterm()

    @cached_property
    def _hook(self) -> SubprocessHook:
        return SubprocessHook()


def clean_commands(before: datetime) -> list[list[str]]:
    """The commands that delete what began before a time; other tables follow the runs.

    Airflow looks at a run's and a task's start alone, not at whether they still run. So those of the jobs stay, which
    may run for months: a run comes to an end only when a person stops it.
    """
    clean = [sys.executable, "-m", "airflow", "db", "clean", "--clean-before-timestamp", before.isoformat()]
    clean += ["--skip-archive", "--yes", "--batch-size", str(BATCH_ROWS)]
    # Apart, since an exclusion keeps all rows that are of no Dag.
    return [
        [*clean, "--tables", "dag_run", "--exclude-dag-ids", ",".join(DAGS.values())],
        [*clean, "--tables", "log,job"],
    ]


def lacks(last_line: str) -> bool:
    """Whether the command says that it failed to clean a table, which it does at its end and with exit status 0.

    Airflow 3.3.2 can't clean deadlines when a Dag is excluded; our Dags have none.
    """
    found = _NOT_CLEANED.search(last_line)
    return found is not None and found[1] != "'deadline'"
