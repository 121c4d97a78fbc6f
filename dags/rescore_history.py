"""A period scored again with another model and policy version: what would have been decided, beside what was.

Reads the archive, scores every transaction of the period with the features that it had then, decides by the policy with
its lists as they were then, and keeps how many would have been flagged, how many of the known frauds among them, and
the money: by day (`fraud.rescored_days`), and by the age of labels (`fraud.rescored_ages`). Nothing that was decided
changes.

**Start**: *Trigger*, with a period of event time in UTC, a registered model (`./fraudctl models list`) and a version of
the policy (`./fraudctl policy show`). The one at work beside the champion shows how today's rules would have done;
without a version the model's threshold alone decides.

**Look at** the task's log for the sums, and at `fraud.rescored_days` for the days. Days that are younger than labels
take have few known frauds: compare precision at one label age.

### Triage

By night: nothing. It changes no decision, and can be run again.

- *nothing is archived*: `archive_transactions` hasn't run yet, or the period lies before its first run.
- *isn't registered*: the version's name is wrong, or `./fraudctl models` doesn't hold it any more.
- *can't be evaluated*: a rule of that version names a list or column that there isn't any more; choose another version.
- *failed_rules*: these failed on some transactions, and were left out there, as the stream does.
- *left out*: rows of a feature set that lacks a feature of the model.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param
from fraudstream_airflow.assets import TRANSACTION_ARCHIVE
from fraudstream_airflow.operators import SparkModuleOperator

with DAG(
    "rescore_history",
    description="Scores a period of the archive with another model and policy, and compares the decisions",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 1, "retry_delay": timedelta(minutes=1)},
    tags=["fraudstream", "model", "archive"],
    params={
        "since": Param(
            "2026-01-01T00:00:00Z", type="string", title="Since", description="First event time, such as 2026-01-01"
        ),
        "until": Param(
            "2026-01-08T00:00:00Z", type="string", title="Until", description="End of the event times, exclusive"
        ),
        "model": Param("", type="string", title="Model", description="A registered version; empty: the champion"),
        "policy": Param(
            None,
            type=["null", "integer"],
            minimum=0,
            title="Policy version",
            description="Such as 12; none: the model's threshold alone decides",
        ),
    },
):
    SparkModuleOperator(
        task_id="rescore",
        module="model.rescoring",
        arguments=[
            "--since={{ params.since }}",
            "--until={{ params.until }}",
            "--model={{ params.model }}",
            "{{ '' if params.policy is none else '--policy=%s' % params.policy }}",
            "--request={{ run_id }}",
        ],
        niceness=10,
        inlets=[TRANSACTION_ARCHIVE],
    )
