"""The answer to a burst of fraud alerts.

Alerts of one device, one address (11 m) or one pattern (the same two strongest reasons) within an hour become one
incident: how many, of how many customers, and their money. People are told once, when `FRAUDSTREAM_NOTIFY__URLS` names
any. Nothing is blocked, and no alert is decided: that is the analysts'.
The browsing that led to each alert is kept for them (`fraud.session_events`): it still lies in Kafka then.

**Start**: by itself. The stream rings the bell (topic `fraud-alert-bell`) when `FRAUDSTREAM_WATCH__BURST_ALERTS` came
within a minute, and Airflow's triggerer hears it; every five minutes the run looks at what came without a burst.

**Look at** `./fraudctl incidents`, and at `fraud.incident_alerts` for the transactions of each.

### Triage

By night: an incident of many customers and one device or address is an attack that goes on. Block the device or the
address in the shop, decide the alerts, and say that you look after it: `./fraudctl incidents NUMBER`.

- An incident closes when nothing was added to it for an hour.
- *pattern* of ordinary reasons, again and again: the model flags too many; see `flagged` in `watch_platform`.
- No run at a burst, only every five minutes: the connection `kafka_default` can't read the topic. The triggerer's log
  says why; `./fraudctl kafka-acls` has the rights.
- *keep_sessions* takes minutes: it reads `FRAUDSTREAM_WATCH__SESSION_MINUTES` of Kafka before the alerts; lower it.
- A run fails: nothing is half done. The next one looks at the same alerts.
"""

from datetime import timedelta

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable
from fraudstream_airflow.alert_response import BELL, GroupAlertsOperator
from fraudstream_airflow.operators import SparkModuleOperator

with DAG(
    "fraud_alert_response",
    description="Groups fraud alerts into incidents, and tells people",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("*/5 * * * *", timezone="UTC"), assets=[BELL]),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 2, "retry_delay": timedelta(seconds=15)},
    tags=["fraudstream", "alerts"],
):
    GroupAlertsOperator(task_id="group", execution_timeout=timedelta(minutes=5))
    SparkModuleOperator(
        task_id="keep_sessions", module="fraudstream.watch.alert_sessions", execution_timeout=timedelta(minutes=5)
    )
