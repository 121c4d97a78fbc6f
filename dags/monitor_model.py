"""The served model's health: whether it still fits what comes, and whether its scores are true.

From the archive, each hour (table `fraud.model_health`): drift of the score and of every feature against what the model
saw first; calibration, precision and recall by the age that labels had, since labels come late; the precision that the
scores themselves promise; alerts a fraud; champion and challenger on the same rows. What is out of bounds in three runs
in a row is a lasting breach (`fraud.model_breaches`): it updates the asset `lasting_model_breach`, once, and
`train_fraud_model` starts. A person still approves what it trains.

**Start**: by itself when `archive_transactions` has run, or *Trigger*.

**Look at** the task's log: a line a figure that is out of bounds. Every figure says how many transactions, and labels
of which age, it was made of; where there are too few, it says nothing.

### Triage

By night: nothing. A breach that lasts starts a training by itself, and a person approves its model by day.

- *psi of …*: the feature's values aren't those that the model saw. Look first for a changed sender (a field that became
  null or another unit), then for a changed shop; only the latter is for a new model.
- *psi of known_days, device_hours, card_hours, place_hours, category_risk* alone, from the second day on: a young shop
  ages. Leave it while *psi of score* is within its bound.
- *calibration*: more, or fewer, frauds than the scores promise. Wait for the run with older labels before you act.
- *nothing is archived*: `archive_transactions` has still to run.
"""

from datetime import timedelta

from airflow.sdk import DAG
from fraudstream_airflow.assets import TRANSACTION_ARCHIVE, TellBreachOperator
from fraudstream_airflow.deadlines import within
from fraudstream_airflow.operators import SparkModuleOperator

with DAG(
    "monitor_model",
    description="Measures drift, calibration, precision and recall of the served model",
    doc_md=__doc__,
    schedule=[TRANSACTION_ARCHIVE],
    catchup=False,
    max_active_runs=1,
    deadline=within("monitor_model", minutes=60),
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 1, "retry_delay": timedelta(minutes=1)},
    tags=["fraudstream", "model", "health"],
):
    measure = SparkModuleOperator(
        task_id="measure",
        module="model.health",
        arguments=["--run-began={{ dag_run.start_date.isoformat() }}"],
        niceness=10,
        returns_json=True,
    )
    tell = TellBreachOperator(task_id="tell_breach", measured="measure")
    measure >> tell
