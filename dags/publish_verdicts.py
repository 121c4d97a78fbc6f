"""Analysts' verdicts.

Sends what analysts decided at the desk to the topic `transaction-labels`, as labels of source `analyst`: sales, alerts,
entity risk and training follow them as they follow a chargeback. A verdict is sent when it can't be undone any more, a
minute after it was made: each run also waits for those that become due within a minute, so that the label leaves within
a second or two of that time. Without verdicts, a run ends at once.

**Start**: every minute, or *Trigger*.

**Look at** the task's log: how many were sent. `fraud.analyst_verdicts` has each verdict, with when it was sent.

### Triage

By night: nothing, unless Kafka or Postgres is away, which other Dags tell first. What isn't sent waits, in order.

Nothing is lost by a failed run: what isn't marked as sent is sent by the next one. A run that was killed between
sending and marking sends the same bytes again, and the newest label of a transaction counts once.

- *Kafka at … didn't acknowledge*: ask `./fraudctl status` for Kafka.
- *Postgres at …*: ask `./fraudctl status` for Postgres.
"""

from datetime import timedelta

from airflow.sdk import DAG
from fraudstream_airflow.deadlines import within
from fraudstream_airflow.operators import SparkModuleOperator

with DAG(
    "publish_verdicts",
    description="Sends analysts' verdicts as labels",
    doc_md=__doc__,
    schedule="* * * * *",
    catchup=False,
    max_active_runs=2,  # one may wait for a verdict that becomes due while the next begins
    deadline=within("publish_verdicts", minutes=15),
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 2, "retry_delay": timedelta(seconds=10)},
    tags=["fraudstream", "labels"],
):
    SparkModuleOperator(task_id="publish", module="fraudstream.verdicts.publish")
