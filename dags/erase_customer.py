"""A customer's right to be forgotten (GDPR, article 17).

Removes a customer, or makes the customer unrecognisable: rows in Postgres, the archive, snapshots of profiles,
histories in files, and the profile in the stream's state. Sums stay as they are. What remains is a certificate without
the id, in `fraud.erasures`. It can't be undone. `docs/erasure.md` says what is erased, and what ages out when.

**Start**: *Trigger*, with the customer's id as the shop sends it, and a reason, such as the number of the request.
Check who is asking before that.

**Decide**: *Required actions* asks a second person. *Approve* erases; *Reject*, or no answer for a week, leaves all as
it is. An article 17 request may be refused where the data is needed for a legal claim: that is for people to judge.

**Look at** the certificate at the end of the task's log, or later with `./fraudctl erase --certificates`.

### Triage

By night: nothing. A request may wait for weeks; but what was begun should end, and a repeat only finds what is left.

- *the stream hasn't read …*: rows and files are erased, the profile isn't. Get the stream going
  (`./fraudctl status`); the retries, or *Clear task*, then end it.
- *Kafka … didn't take the message*, *Postgres doesn't serve the erasure*: ask `./fraudctl status`, then *Clear task*.
- *the archive … can't be rewritten*: somebody else changed it at the same moment; the retry follows by itself.
- Killed half-way: the certificate stays open, and *Clear task* goes on with it.
"""

from datetime import timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param
from fraudstream_airflow.operators import SparkModuleOperator

with DAG(
    "erase_customer",
    description="Erases a customer everywhere, after a person approved it, and leaves a certificate",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 3, "retry_delay": timedelta(minutes=2)},
    tags=["fraudstream", "privacy"],
    params={
        "customer": Param(
            type="string", minLength=1, title="Customer", description="The customer's id, as in the shop's messages"
        ),
        "reason": Param(
            type="string",
            minLength=1,
            title="Reason",
            description="Such as the number of the request; it stays in the certificate: name nobody",
        ),
        "requested_by": Param(
            type="string", minLength=1, title="Asked for by", description="Who of you took the request"
        ),
    },
):
    approve = ApprovalOperator(
        task_id="approve",
        subject="Erase customer {{ params.customer }} for good?",
        body="Reason: {{ params.reason }}. Asked for by {{ params.requested_by }}. It can't be undone.",
        defaults="Reject",
        response_timeout=timedelta(days=7),
    )
    erase = SparkModuleOperator(
        task_id="erase",
        module="fraudstream.erasure",
        arguments=[
            "--reason={{ params.reason }}",
            "--requested-by={{ params.requested_by }}",
            "--approved-by={{ ti.xcom_pull(task_ids='approve')['responded_by_user']['name'] }}",
            "--wait=300",
            "--yes",
            "--",
            "{{ params.customer }}",
        ],
        niceness=10,
    )
    approve >> erase
