"""The fraud scoring stream.

Keeps one Spark Structured Streaming job running: it joins each transaction with its browsing session and the customer's
history, scores it, and writes the result to Postgres and Kafka. `@continuous`: when a run ends, the next one begins.

**Start**: unpause this Dag (`./fraudctl up` does).

**Stop**: pause this Dag, *then* mark the task *failed*. The job finishes its micro-batch and ends. Without the pause
the next run starts it again from its checkpoint, which is the way to restart it: nothing is lost or scored twice.

A job that dies while the Dag is paused stays dead until the Dag is unpaused: `./fraudctl status` and *Stream* say so.

**Move to a cluster**: edit the connection `spark_default` (Admin, Connections): `local[2,4]`, `spark://host` with port
7077, `yarn`, or `k8s://https://host` with a port, and set `FRAUDSTREAM_CLUSTER__…` (`docs/cluster.md`). Then restart as
above. The deploy mode stays `client`, where the driver is a process beside Airflow, unless
`FRAUDSTREAM_CLUSTER__DEPLOY_MODE` says `cluster`: then Kubernetes or YARN runs it.

**Look at** the task's log: the job's own log, and a progress line a minute. The run's tab *Stream* shows rate and
latency.

### Triage

By night: while this is down, no purchase is scored. It starts again by itself, unless it *refuses to go on*, or Kafka
or Postgres is away: do what the message says. What waits is scored afterwards, and nothing is lost within Kafka's
retention.

- *The job died (killed by SIGKILL)*: most often for want of memory; a retry follows in 5 s. `dmesg` tells. Lower
  `FRAUDSTREAM_STREAM__MAX_OFFSETS_PER_TRIGGER`.
- *The job died (exit status …)*: the last lines of the log name the error. The retries go on while you mend it.
- *The job refuses to go on*: checkpoint, ledger and Kafka don't belong together, or a micro-batch ended its driver
  again and again. The message says what was found, and which command decides: `./fraudctl rebuild` or `retry`. Or Kafka
  is away, or refuses the job's account: the message names the cause and the setting (`docs/kafka.md`). Until then it
  is tried once a minute, so that nothing has to be triggered afterwards.
- *The job gave no heartbeat*: it hung, was stopped, and is started again. Ask `./fraudctl status` for Kafka and
  Postgres.
- Lag and latency grow: more arrives than is scored. Give `spark_default` a larger master.
- Dead letters grow: a producer sends what the contract refuses. *Stream* shows the newest with their reasons.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG
from fraudstream_airflow.stream import stream_operator

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
    stream_operator("score_transactions")
