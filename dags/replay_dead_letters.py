"""Dead letters, sent again.

Sends refused messages to their topics once more, with their own key, after somebody mended the cause: a newer release
that knows what it didn't, a setting such as `FRAUDSTREAM_STREAM__MAX_FUTURE_SECONDS`, or a time that has come. The
codes, and what to do about each, are in `docs/dead-letters.md`.

**Start**: *Trigger*, and choose which ones: by reason, by when they arrived in Kafka, or a single message. All
conditions hold that are given, and at least one must be. *Dry run* is on at first: it only says what would be sent.

**Look at** the task's log: how many were chosen, sent and confirmed. A message that is refused again is a new dead
letter, marked on the page *Stream* as a replay of the first one.

A repeat does no harm: what was replayed isn't sent a second time unless *Again* is on, and the stream recognises a
transaction id that it has scored.

### Triage

By night: nothing. Dead letters wait for 90 days; mend the cause first.

- *another replay of dead letters is running*: wait for its end; the retry may do.
- *n were claimed by a replay that was interrupted*: a run was killed between sending and confirming. This one looks
  into Kafka for what arrived, confirms that, and goes on. Nothing to do.
- *Kafka acknowledged nothing*: ask `./fraudctl status` for Kafka. The retry finds out what arrived.
- *can't be sent again, since card numbers were masked*: what was masked is gone. Their producer has to send them.
- *say which ones*: no condition was given.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param
from fraudstream_airflow.operators import SparkModuleOperator

from fraudstream.messages.reasons import DeadLetterReason

CODES = [reason.value for reason in DeadLetterReason]


def utc_time(title: str, which: str) -> Param:
    """A parameter for an optional time."""
    description = f"UTC time such as 2026-11-04T12:00:00Z: those that arrived in Kafka {which}; empty: no limit"
    return Param("", type="string", title=title, description=description)


with DAG(
    "replay_dead_letters",
    description="Sends refused messages to their topics again, after their cause was mended",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 1, "retry_delay": timedelta(seconds=30)},
    tags=["fraudstream", "dead-letters"],
    params={
        "reasons": Param(
            [],
            type="array",
            items={"type": "string", "enum": CODES},
            examples=CODES,
            title="Reasons",
            description="Codes; empty: all",
        ),
        "since": utc_time("From", "from then on"),
        "until": utc_time("Until", "before then"),
        "message": Param(
            "",
            type="string",
            pattern="^([a-z-]+/[0-9]+/[0-9]+)?$",
            title="One message",
            description="As topic/partition/offset, such as transactions/0/17; empty: no such limit",
        ),
        "limit": Param(
            1000,
            type="integer",
            minimum=1,
            maximum=1_000_000,
            title="Limit",
            description="At most so many, oldest first",
        ),
        "again": Param(False, type="boolean", title="Again", description="Also those that were replayed before"),
        "dry_run": Param(True, type="boolean", title="Dry run", description="Only say what would be sent"),
    },
):
    SparkModuleOperator(
        task_id="replay",
        module="fraudstream.dead_letters.replay",
        arguments=[
            "{{ '--reasons=' ~ params.reasons | join(',') if params.reasons else '' }}",
            "{{ '--from=' ~ params.since if params.since else '' }}",
            "{{ '--until=' ~ params.until if params.until else '' }}",
            "{{ '--message=' ~ params.message if params.message else '' }}",
            "--limit={{ params.limit }}",
            "{{ '--again' if params.again else '' }}",
            "{{ '--dry-run' if params.dry_run else '' }}",
        ],
    )
