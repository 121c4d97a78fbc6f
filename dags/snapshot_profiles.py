"""A snapshot of all customers' profiles, with which the stream's state can begin anew.

Reads the profiles as of the newest micro-batch from the stream's checkpoint, while the stream runs, and writes them to
`var/snapshots/`, with the Kafka offsets that belong to them and a SHA-256 of each file. `./fraudctl rebuild` begins
with the newest one that it can use and reads Kafka from its offsets, so that scores are the same to the bit, however
short Kafka's retention is. `./fraudctl backup` takes the snapshots along.

**Start**: by itself every night, or *Trigger*; before an upgrade, for instance. The setting
`FRAUDSTREAM_RETENTION__SNAPSHOTS` says how many are kept.

**Look at** the task's log: the snapshot's name, and how many customers are in it.

### Triage

By night: nothing. Take care that one succeeds before Kafka's retention ends.

A failed run leaves nothing behind, and the older snapshots as they are.

- *can't be read, 3 times*: Spark deleted the micro-batch's files each time before they were read, or the checkpoint is
  damaged, which the stream's next start finds. Retries follow by themselves.
- *of layout*: the stream still runs the code of another release; restart it.
- *No space left on device*: a snapshot takes about 1 KiB a customer.
"""

from datetime import timedelta

from airflow.sdk import DAG
from fraudstream_airflow.deadlines import within
from fraudstream_airflow.operators import SparkModuleOperator

with DAG(
    "snapshot_profiles",
    description="Snapshots all customers' profiles, for the stream's state to begin anew with",
    doc_md=__doc__,
    schedule="41 2 * * *",
    catchup=False,
    max_active_runs=1,
    deadline=within("snapshot_profiles", minutes=60),
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["fraudstream", "snapshots"],
):
    SparkModuleOperator(task_id="snapshot", module="spark_jobs.snapshot_profiles", niceness=10)
