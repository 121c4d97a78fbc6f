"""Retention.

Deletes what is older than the settings `FRAUDSTREAM_RETENTION__…` say, in small steps, while the stream runs: rows of
the schema `fraud` (their sums stay, in `fraud.retired_totals`), Superset's log, Airflow's own runs and the logs of its
tasks, days of the archive, and checkpoints that a rebuild left behind. Rollups of seconds become minutes, and minutes
hours.

**Start**: by itself at 17 minutes past each hour, or *Trigger*. `./fraudctl retention --dry-run` says what would go.

**Look at** the tasks' logs: a line a table with how many rows went.

### Triage

By night: nothing, unless the disk fills (`disk` in `watch_platform`): lower the settings, and trigger it.

A failed run has done what its log names, and the next one goes on from there; nothing is deleted without its sum.

- *lock timeout*, *deadlock detected*: something else held the rows; the retry follows by itself.
- `clean_airflow` is skipped where this platform doesn't configure Airflow, as with Airflow's Helm chart: use the
  chart's `databaseCleanup` there.
"""

from datetime import timedelta

from airflow.sdk import DAG
from fraudstream_airflow.clean import CleanAirflowOperator
from fraudstream_airflow.deadlines import within
from fraudstream_airflow.operators import SparkModuleOperator

with DAG(
    "apply_retention",
    description="Deletes old rows and logs, keeps their sums, and thins rollups",
    doc_md=__doc__,
    schedule="17 * * * *",  # not while the platform starts, as a span of time would
    catchup=False,
    max_active_runs=1,
    deadline=within("apply_retention", minutes=60),
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 2, "retry_delay": timedelta(seconds=30)},
    tags=["fraudstream", "retention"],
):
    SparkModuleOperator(task_id="retire", module="fraudstream.retention", niceness=10)
    SparkModuleOperator(task_id="retire_archive", module="fraudstream.archive", arguments=["retire"], niceness=10)
    CleanAirflowOperator(task_id="clean_airflow")
