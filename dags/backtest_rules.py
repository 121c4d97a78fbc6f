"""Rules tried on the past.

Answers the backtests that analysts ask for at the desk: what a rule would have done to archived transactions, with the
features that they were scored with and the lists as they were then. A request is a row of `fraud.backtests`; its answer
is written into the same row, and the rule's page shows it. Without a request, a run ends at once.

**Start**: every minute, or *Trigger*.

**Look at** the task's log: how many were answered, and why one wasn't. The analyst reads the same reason on the page.

### Triage

By night: nothing. A request waits for the next run, and nothing else waits for it.

- *nothing is archived yet*: the Dag `archive_transactions` has to run once.
- *the archive … has no column f_…*: the feature is newer than what is archived; choose fewer days.
- A run was killed: its request is answered with that after 15 minutes, and can be made again.
- *Postgres at …*: ask `./fraudctl status` for Postgres.
"""

from datetime import timedelta

from airflow.sdk import DAG
from fraudstream_airflow.operators import SparkModuleOperator

with DAG(
    "backtest_rules",
    description="Tries rules on archived transactions, as the desk asks for it",
    doc_md=__doc__,
    schedule="* * * * *",
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 1, "retry_delay": timedelta(seconds=10)},
    tags=["fraudstream", "policy"],
):
    SparkModuleOperator(
        task_id="answer",
        module="model.policy.backtesting",
        niceness=10,
        execution_timeout=timedelta(minutes=10),
    )
