"""The archive: every scored transaction with the features that it was scored with, and every label.

Reads the topics `transaction-features` and `transaction-labels` from where the last run ended, appends to Delta Lake
tables by day (`FRAUDSTREAM_ARCHIVE__URL`, or `var/archive/`), compares each micro-batch with the stream's ledger, makes
few large files of many small ones, and deletes replaced ones after a week. Rows and offsets are one commit, so that a
run that is killed leaves nothing half done, and the next one goes on. docs/archive.md says how to read it.

Beside it, the task `lineage` sends what the stream read and wrote in the hour as OpenLineage events, when
`FRAUDSTREAM_AIRFLOW__LINEAGE` says where to; else it is skipped.

**Start**: by itself at 7 minutes past each hour, or *Trigger*, for instance before an analysis.

**Look at** the task's log: rows appended, batches compared, and each difference in a line. `./fraudctl status` and
`reconcile_stream` go on telling of a difference until it was acknowledged.

### Triage

By night: nothing. The topic keeps what isn't archived for days, and the next run takes it.

- *the archive has n transactions of it, and the ledger says m*: messages expired before they were archived (look for
  *expired* in the log; raise Kafka's retention), or a table was restored from a copy. The transactions are in Postgres,
  without their features. `./fraudctl acknowledge NUMBER --reason "…"` closes it.
- *takes no rows*: *Concurrent transaction* means that another run was faster; else the folder or object store can't be
  written. The retry goes on.
- *doesn't name the features of the set*: the schema was emptied after another release had sent them; put that row of
  `fraud.feature_sets` back.
- *Kafka has no topic*: `./fraudctl up` creates it, or your Kafka's administrator does (docs/kafka.md).
- `lineage` fails when the lineage server doesn't answer, or its file can't be written: the next run sends those hours.
"""

from datetime import timedelta

from airflow.sdk import DAG
from fraudstream_airflow.assets import TRANSACTION_ARCHIVE
from fraudstream_airflow.deadlines import within
from fraudstream_airflow.lineage import StreamLineageOperator
from fraudstream_airflow.operators import SparkModuleOperator

with DAG(
    "archive_transactions",
    description="Appends scored transactions, their features and labels to the archive",
    doc_md=__doc__,
    schedule="7 * * * *",
    catchup=False,
    max_active_runs=1,
    deadline=within("archive_transactions", minutes=60),
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["fraudstream", "archive"],
):
    SparkModuleOperator(
        task_id="append",
        module="fraudstream.archive",
        arguments=["append"],
        niceness=10,
        outlets=[TRANSACTION_ARCHIVE],
    )
    StreamLineageOperator(task_id="lineage", execution_timeout=timedelta(minutes=5))
