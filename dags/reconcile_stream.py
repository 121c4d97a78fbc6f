"""The stream's books.

Compares Kafka's offsets with the stream's ledger, and the ledger with the tables, every five minutes, while the stream
runs. A difference fails the task; the log names the topic partition and its offsets, or the micro-batch.

**Start**: by itself, or *Trigger*, and choose how many hours of micro-batches are compared row by row.

**Look at** the task's log: what was read, what is still unread, and each difference in a line. Each run is noted in
`fraud.reconciliations` for 30 days; `./fraudctl status` and the page *Stream* show the newest, and are alarmed by a
difference until a run finds none.

### Triage

- *expired before they were read*: the stream was down for longer than Kafka keeps messages. They are lost to it; raise
  the topic's retention before the next outage.
- *the topic was made anew*: its offsets start again, and the stream refuses to go on with them.
- *fraud.… has n rows of it, and the ledger says m*: somebody deleted rows, or a backup from before the batch was
  restored. The messages are still in Kafka, at the offsets named.
- *not published to Kafka*: the batch is in Postgres; the stream publishes it when it starts again.
- *Kafka … doesn't answer*: the retry follows by itself.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param
from fraudstream_airflow.operators import SparkModuleOperator

with DAG(
    "reconcile_stream",
    description="Compares Kafka, the ledger and the tables",
    doc_md=__doc__,
    schedule=timedelta(minutes=5),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 1, "retry_delay": timedelta(seconds=30)},
    tags=["fraudstream", "reconciliation"],
    params={
        "hours": Param(
            1,
            type="integer",
            minimum=0,
            maximum=24 * 366,
            title="Hours",
            description="Micro-batches of so many hours are compared row by row",
        )
    },
):
    SparkModuleOperator(
        task_id="reconcile",
        module="fraudstream.ledger.reconciliation",
        arguments=["--hours={{ params.hours }}"],
    )
