"""A shop's own past brought in: the same import as `./fraudctl history import`, from a form.

It becomes the customers' profiles, the risk of devices, cards and addresses, and the dashboards' past
([docs/your-shop.md](../docs/your-shop.md)). All or nothing: an import that fails, is refused or is killed leaves
everything as it was, and a repeat of one that succeeded changes nothing. Customers who were erased are left out.

**Start**: *Trigger*, with paths of files on the machine where Airflow's tasks run; a relative one begins at the
project's folder. Check the mapping first: `./fraudctl mapping check FILE --sample DATA`. Without a mapping, *Data* is a
history in the platform's own form, as `./fraudctl produce --out DIR` writes it. It is never scheduled.

**Look at** the task's log: how many rows are done, what was left out and refused, and in its last line what was
imported.

### Triage

By night: nothing. No import runs unless somebody started it, and a failed one has changed nothing.

- *was imported on … say --replace* or *the stream has read … messages*: the platform has another past, or has begun
  already. Trigger again with *Replace*, if its profiles may be made anew.
- *say --accept-loss*: Kafka no longer holds messages that are in the profiles. *Accept loss* goes on without them.
- *mapping …*, *refused of …* or *no row can be used*: the mapping doesn't fit the file. Mend it, and trigger again.
- *another import is running*: let it end. *A customer was erased meanwhile*: trigger again.
- *a process that computed profiles was killed*: memory ran short. Trigger again with *Processes* at 1.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param
from fraudstream_airflow.operators import SparkModuleOperator

_OPTIONAL = ("mapping", "labels", "labels_mapping", "browse", "browse_mapping")

with DAG(
    "import_history",
    description="Imports a shop's past: profiles, entity risk, and the dashboards' past",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 1, "retry_delay": timedelta(minutes=1)},
    tags=["fraudstream", "past"],
    params={
        "data": Param(
            type="string", minLength=1, title="Data", description="File or folder of orders, or a history's folder"
        ),
        "mapping": Param("", type="string", title="Mapping", description="Mapping of the orders; empty: a history"),
        "labels": Param("", type="string", title="Labels", description="File of chargebacks, when there is one"),
        "labels_mapping": Param("", type="string", title="Mapping of the labels", description="Needed with labels"),
        "browse": Param("", type="string", title="Browsing", description="File or folder of browsing events"),
        "browse_mapping": Param("", type="string", title="Mapping of the browsing", description="Needed with browsing"),
        "processes": Param(
            1, type="integer", minimum=0, title="Processes", description="That compute profiles; 0: one a core"
        ),
        "replace": Param(
            False, type="boolean", title="Replace", description="Put it in the place of the past or profiles of now"
        ),
        "accept_loss": Param(
            False,
            type="boolean",
            title="Accept loss",
            description="With Replace: go on without messages that Kafka no longer holds",
        ),
    },
):
    SparkModuleOperator(
        task_id="import",
        module="model.past",
        arguments=[
            "import",
            *(
                f"{{{{ '--{name.replace('_', '-')}=' ~ params.{name} if params.{name} else '' }}}}"
                for name in _OPTIONAL
            ),
            "--processes={{ params.processes }}",
            "{{ '--replace' if params.replace else '' }}",
            "{{ '--accept-loss' if params.accept_loss else '' }}",
            "--",
            "{{ params.data }}",
        ],
        niceness=10,
    )
