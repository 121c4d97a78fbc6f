"""### The fraud scoring stream

Keeps one Spark Structured Streaming job running: it joins each transaction with its browsing session and the customer's
history, scores it, and writes the result to Postgres and Kafka. `@continuous`: when a run ends, the next one begins.

**Start** — unpause this Dag (`./fraudctl up` does).

**Stop** — pause this Dag, *then* mark the task *failed*. The job finishes its micro-batch and ends. Without the pause the next
run starts it again, from its checkpoint, which is the way to restart it: nothing is lost or scored twice.

**Move to a cluster** — edit the connection `spark_default` (Admin → Connections): `local[2,4]`, `spark://host` with port 7077,
`yarn`, or `k8s://https://host` with a port; then restart as above. Deploy mode stays `client`.

**Look at** — the task's log: the job's own log, and a progress line a minute. The tab *Stream* on this page: rate, lag and
latency.

**Triage**

| What you see | What it means | What to do |
| --- | --- | --- |
| attempt failed, "the job died (killed by SIGKILL)" | killed, often for want of memory; a retry follows in 5 s | `dmesg`; less in `FRAUDSTREAM_STREAM__MAX_OFFSETS_PER_TRIGGER` |
| attempt failed, "the job died (exit status …)" | an error: the last lines of the log name it | fix it; the retries go on meanwhile |
| attempt failed, "gave no heartbeat" | it hung: it was stopped, and is started again | Kafka and Postgres up? `./fraudctl status` |
| lag grows, latency too | more arrives than is scored | a larger master in `spark_default`; fewer events |
| dead letters grow | a producer sends what the contract refuses | *Stream health*: reasons of the newest ones |
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG
from fraudstream_airflow.operators import SparkStreamOperator

with DAG(
    "fraud_scoring_stream",
    description="Keeps the Spark job that scores transactions running",
    doc_md=__doc__,
    schedule="@continuous",
    # Without a start the second run would get the first one's logical date, and never begin.
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    catchup=False,
    is_paused_upon_creation=True,
    default_args={"owner": "fraud-platform", "retries": 100, "retry_delay": timedelta(seconds=5)},
    tags=["fraudstream", "spark", "streaming"],
):
    SparkStreamOperator(task_id="score_transactions", job="stream", module="spark_jobs.score_transactions")
