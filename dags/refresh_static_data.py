"""Customers, products and exchange rates.

Publishes a new version of the static data that the stream joins, with the exchange rates in the file that
`FRAUDSTREAM_SHOP__CURRENCY_RATES` names. The running stream reads it with its next micro-batches; nothing needs a
restart.

**Start**: every hour, or *Trigger*. With `source` empty the simulated shop's data is written; else a folder that this
machine can read, with `customers.parquet` and `products.parquet`.

**Look at** the task's log: how many customers, products and rates, and their version. *Stream* in the menu shows which
version is joined.

### Triage

By night: nothing, unless an exchange rate is missing that the shop needs: its amounts are added to no sum until then.

A failed run changes nothing: the stream goes on with the version before. The log's last line says what was refused (a
missing file or column, an empty table, a line of the rates); correct it, and clear the task.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param
from fraudstream_airflow.deadlines import within
from fraudstream_airflow.operators import SparkModuleOperator

with DAG(
    "refresh_static_data",
    description="Publishes customers, products and exchange rates to the stream",
    doc_md=__doc__,
    schedule="@hourly",
    catchup=False,
    max_active_runs=1,
    deadline=within("refresh_static_data", minutes=15),
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 2, "retry_delay": timedelta(seconds=30)},
    tags=["fraudstream", "static-data"],
    params={
        "source": Param(
            "",
            type="string",
            title="Source folder",
            description="Holds customers.parquet and products.parquet; empty: the simulated shop",
        )
    },
):
    SparkModuleOperator(
        task_id="publish",
        module="fraudstream.simulator",
        arguments=["static", "{{ '--source=' ~ params.source if params.source else '' }}"],
    )
