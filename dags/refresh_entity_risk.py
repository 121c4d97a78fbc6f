"""Entity risk.

Counts, for each device, shipping address, card and product category of the last 30 days, how many transactions were
labelled as fraud and how many customers there were, finds which customers they tie together, and publishes that to the
stream, which joins it with its next micro-batches. Counted are the events and labels before the refresh, at whole
multiples of `FRAUDSTREAM_ENTITY_RISK__REFRESH_MINUTES`. Of terminals it keeps transactions and known frauds by the
hour, of 60 days.

**Start**: every 10 minutes, unless that setting says otherwise, or *Trigger*. With `as_of` empty it counts up to now;
else up to that UTC time, for events of the past.

**Look at** the task's log: how many entities, from how many transactions and frauds. The table is `fraud.entity_risk`,
each refresh a row of `fraud.entity_risk_versions`; of terminals, `fraud.terminal_hours` and `fraud.terminal_frauds`.

### Triage

By night: nothing, unless it fails until the morning: new fraud of a known device then scores lower.

A failed run changes nothing: the stream goes on with the refresh before, and the next run makes up for it. Only the
risk of what was labelled since is missing until then. *Postgres at …*: ask `./fraudctl status` for Postgres.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param
from fraudstream_airflow.deadlines import within
from fraudstream_airflow.operators import SparkModuleOperator

from fraudstream.settings import load_settings

with DAG(
    "refresh_entity_risk",
    description="Publishes how much fraud was seen on devices, addresses, cards and categories",
    doc_md=__doc__,
    schedule=f"*/{load_settings().entity_risk.refresh_minutes} * * * *",
    catchup=False,
    max_active_runs=1,
    deadline=within("refresh_entity_risk", minutes=15),
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 2, "retry_delay": timedelta(seconds=30)},
    tags=["fraudstream", "static-data"],
    params={
        "as_of": Param(
            "",
            type="string",
            title="As of",
            description="UTC time to count up to, such as 2026-11-04T12:00:00Z; empty: now",
        )
    },
):
    SparkModuleOperator(
        task_id="refresh",
        module="fraudstream.static_data.entity_risk",
        arguments=["{{ '--as-of=' ~ params.as_of if params.as_of else '' }}"],
    )
