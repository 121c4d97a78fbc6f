"""The operator that deletes Airflow's own old runs."""

import os
import sys
from datetime import UTC, datetime, timedelta
from functools import cached_property

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from fraudstream.jobs.niced import niced
from fraudstream.settings import load_settings

#: A Dag's newest run stays, and with it the stream's task, which may run for months. Other tables follow their run.
TABLES = "dag_run,log,job"
#: Airflow sets these in each task, so that it can't reach the database. This one must: it works for the administrator.
WITHHELD = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN")


class CleanAirflowOperator(BaseOperator):
    """Runs `airflow db clean` for runs and logs in the database that are older than the settings say."""

    def execute(self, context: Context) -> None:
        """Cleans. Raises AirflowSkipException where Airflow isn't configured by this platform."""
        settings = load_settings()
        if not (settings.paths.airflow / "airflow.cfg").exists():
            raise AirflowSkipException("this platform doesn't configure Airflow here: use its own database cleanup")
        before = datetime.now(UTC) - timedelta(days=settings.retention.airflow_days)
        environment = {name: value for name, value in os.environ.items() if name not in WITHHELD}
        result = self._hook.run_command(
            niced(clean_command(before), niceness=10), env=environment | {"AIRFLOW_HOME": str(settings.paths.airflow)}
        )
        if result.exit_code != os.EX_OK:
            raise AirflowException(f"airflow db clean ended with exit status {result.exit_code}; its output is above")

    def on_kill(self) -> None:
        """Ends it with the task."""
        self._hook.send_sigterm()

    @cached_property
    def _hook(self) -> SubprocessHook:
        return SubprocessHook()


def clean_command(before: datetime) -> list[str]:
    """The command that deletes what began before a time."""
    command = [sys.executable, "-m", "airflow", "db", "clean", "--clean-before-timestamp", before.isoformat()]
    return [*command, "--tables", TABLES, "--skip-archive", "--yes"]
