"""The stream's books.

Compares Kafka's offsets with the stream's ledger, and the ledger with the tables, every five minutes, while the stream
runs: each new micro-batch, and a slice of all older ones and of each hour's rollups, so that everything is compared
within a day. The task fails while a difference is open; the log names the topic partition and its offsets, the
micro-batch, or the hour.

**Start**: by itself, or *Trigger*, and choose *Everything* to compare all of it at once.

**Look at** the task's log: what was read, what is still unread, each difference of this run in a line, and how many are
open. `./fraudctl status` and the page *Stream* say so, too, until each was acknowledged:
`./fraudctl acknowledge` lists them, `./fraudctl acknowledge NUMBER --reason "…"` closes one.

### Triage

By night: a difference is one to look at when *critical* incidents are open besides, or rows are missing of the last
hour: somebody deletes, or restored. An old one waits for the morning.

- *expired before they were read*: the stream was down for longer than Kafka keeps messages. They are lost to it; raise
  the topic's retention before the next outage.
- *the topic was made anew*: its offsets start again, and the stream refuses to go on with them.
- *fraud.… has n rows of it, and the ledger says m*: somebody deleted rows, or a backup from before the batch was
  restored. The messages are still in Kafka, at the offsets named.
- *hour …: fraud.… has n, and the rows give m*: somebody changed a rollup, or deleted transactions.
- *not published to Kafka*: the batch is in Postgres; the stream publishes it when it starts again, and
  the difference passes by itself.
- *Kafka … doesn't answer*: the retry follows by itself.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param
from fraudstream_airflow.deadlines import within
from fraudstream_airflow.operators import SparkModuleOperator

with DAG(
    "reconcile_stream",
    description="Compares Kafka, the ledger and the tables",
    doc_md=__doc__,
    schedule=timedelta(minutes=5),
    catchup=False,
    max_active_runs=1,
    deadline=within("reconcile_stream", minutes=15),
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 1, "retry_delay": timedelta(seconds=30)},
    tags=["fraudstream", "reconciliation"],
    params={
        "whole": Param(
            False,
            type="boolean",
            title="Everything",
            description="Compare everything now, however long it takes; else new batches and a slice",
        )
    },
):
    SparkModuleOperator(
        task_id="reconcile",
        module="fraudstream.ledger.reconciliation",
        arguments=["{{ '--whole' if params.whole else '' }}"],
    )
