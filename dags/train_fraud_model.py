"""A challenger for the fraud model.

Trains a model on the newest history, compares it with the champion on a later period, asks a person, and promotes it.
The running stream takes the new champion with its next micro-batch; nothing needs a restart.

**Start**: every week, when `monitor_model` finds a lasting breach (the run's asset event says which), or *Trigger*.
With `history` empty, the last `hours` are taken from the archive, with the features as they were served, where it
covers them and no warm-up is asked for; else they are read from Kafka and Postgres, and all that Kafka retains from
before with a past that was imported, so that profiles and entity risk begin as the stream's did. `history` may be a
folder that this machine can read, as `./fraudctl produce --out` writes it. With `as_of` the hours end at that UTC time
of the past, with the labels that had been made by then, and come from the archive only.

**Decide**: *Required actions* shows the differences in average precision (how they rank), and in precision, recall and
their harmonic mean F1 (of what each flags by its own threshold), with their 95% intervals. An interval that includes 0
shows no difference. *The challenger is better* when it ranks better, or when its F1 is better and it isn't shown to
rank worse; else reject, or wait for more labels. Look at its recall, too: frauds that it misses more may be the price
of fewer alerts. *Approve* promotes. *Reject*, or no answer for three days, leaves the champion as it is.

**Until then** the challenger scores in the champion's shadow: `challenger_score` in `fraud.scored_transactions`.
`./fraudctl models archive VERSION` ends that; `./fraudctl models promote VERSION` takes a promotion back.

**Look at** the model card in `var/models/<version>/README.md`, and at the task's log: features and fit show their
progress.

### Triage

By night: nothing. The champion goes on scoring, and an approval waits for three days.

- *collect_history*, "holds nothing": Kafka has no messages of that time. Ask `./fraudctl status` for the producer.
- *train_challenger*, "frauds among": too few labelled frauds in a period. Take more `hours`, or wait for labels.
- *train_challenger* killed: want of memory. Take fewer `hours`, or fewer `warm_up_hours`.
- The stream's page says that a champion isn't at work: its files in `var/models` are damaged or of another code
  version. The last good model goes on scoring; promote another, or restore the files.
"""

from datetime import timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, Param
from fraudstream_airflow.assets import LASTING_BREACH
from fraudstream_airflow.operators import SparkModuleOperator

with DAG(
    "train_fraud_model",
    description="Trains a challenger, compares it with the champion, asks, and promotes",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("0 0 * * 0", timezone="UTC"), assets=[LASTING_BREACH]),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 1, "retry_delay": timedelta(minutes=1)},
    tags=["fraudstream", "model"],
    params={
        "history": Param(
            "",
            type="string",
            title="History folder",
            description="As `./fraudctl produce --out` writes it; empty: what Kafka and Postgres hold",
        ),
        "hours": Param(
            6,
            type="number",
            minimum=0.1,
            maximum=744,
            title="Hours",
            description="How far back, a month at most. Of Kafka, 6 h at 150 events/s are 3.2 million events, 1 GB",
        ),
        "as_of": Param(
            "",
            type="string",
            title="As of",
            description="UTC time at which the hours end, such as 2026-11-04T12:00:00Z; empty: now",
        ),
        "warm_up_hours": Param(
            None,
            type=["null", "number"],
            minimum=0,
            title="Warm-up hours",
            description="How far before that profiles begin; empty: all that Kafka has. A week at 150 events/s: 10 GB",
        ),
        "trials": Param(
            8,
            type="integer",
            minimum=1,
            maximum=200,
            title="Trials",
            description="How many sets of parameters to try; 1: only the defaults",
        ),
        "seed": Param(
            42, type="integer", minimum=0, title="Seed", description="The same seed and history make the same model"
        ),
    },
):
    collect = SparkModuleOperator(
        task_id="collect_history",
        module="model.training.collect",
        arguments=[
            "--hours={{ params.hours }}",
            "{{ '--as-of=' ~ params.as_of if params.as_of else '' }}",
            "{{ '' if params.warm_up_hours is none else '--warm-up-hours=' ~ params.warm_up_hours }}",
            "{{ '--existing=' ~ params.history if params.history else '' }}",
        ],
        niceness=10,  # scoring comes first
        returns_json=True,
    )
    train = SparkModuleOperator(
        task_id="train_challenger",
        module="model.training.challenge",
        arguments=[
            "--history={{ ti.xcom_pull(task_ids='collect_history')['history'] }}",
            "--trials={{ params.trials }}",
            "--seed={{ params.seed }}",
        ],
        niceness=10,
        returns_json=True,
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject="Promote fraud model {{ ti.xcom_pull(task_ids='train_challenger')['version'] }}?",
        body="{{ ti.xcom_pull(task_ids='train_challenger')['summary'] }}",
        defaults="Reject",
        response_timeout=timedelta(days=3),
    )
    promote = SparkModuleOperator(
        task_id="promote",
        module="model.serving.registry_cli",
        arguments=["promote", "{{ ti.xcom_pull(task_ids='train_challenger')['version'] }}"],
    )
    collect >> train >> approve >> promote
