"""The platform's watch: faults become incidents, and people are told.

Reads what no table holds (lag, disks, certificates, secrets, snapshots, backups), and runs the checks of
docs/production.md over the ledger. A fault is one incident from when it is first seen until it wasn't seen for five
minutes. Opening and closing are told once each, by mail, Slack or webhook, when `FRAUDSTREAM_NOTIFY__URLS` names any.

**Start**: by itself every two minutes, or *Trigger*.

**Look at** `./fraudctl incidents`, which lists what is open, and says so when somebody looks after it; at the dashboard
*Operations*; and at the task's log for the faults of one run. It watches neither Airflow nor Postgres, on which it
runs: let a Prometheus of yours watch `fraudstream_readings_age_seconds` (docs/metrics.md).

### Triage

By night: *critical* means that transactions aren't scored, soon won't be, or were counted wrongly. Everything else
can wait for the morning. What each incident asks for:

- *silence*, *starts*: the page *Stream* and the log of `fraud_scoring_stream` say why the stream ended. A refusal names
  the command that only a person may give.
- *slow*, *lag*: a backlog drains by itself when the rate falls; else more cores (docs/production.md).
- *books*: `./fraudctl acknowledge` lists the differences; docs/guarantees.md says what each means.
- *refused*, *reasons*: somebody sends other events than before. Ask them; then `replay_dead_letters`.
- *lost*: somebody gave up messages with `./fraudctl rebuild --accept-loss`. It passes after a day.
- *unpriced*: publish the currency's rate, then trigger `refresh_static_data`.
- *disk*: free some, or lower retention; a full disk stops Kafka and Postgres.
- *kafka*: the broker doesn't answer; `./fraudctl status`.
- *deadline*: a batch Dag's run hadn't ended in time; its log says why. It closes a day later.
- *flagged*: the model, or the shop's customers, changed. Trigger `train_fraud_model` when labels agree.
- *unchecked*: a check failed, and its incidents stay as they are; the text says why.
- The task itself fails when Postgres can't be read, or no service takes a message.
  One of several that doesn't is named in the log.
"""

from datetime import timedelta

from airflow.sdk import DAG
from fraudstream_airflow.watch import WatchPlatformOperator

with DAG(
    "watch_platform",
    description="Checks the platform, keeps incidents, and tells people",
    doc_md=__doc__,
    schedule="*/2 * * * *",
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 1, "retry_delay": timedelta(seconds=30)},
    tags=["fraudstream", "operations"],
):
    WatchPlatformOperator(task_id="watch", execution_timeout=timedelta(minutes=2))
