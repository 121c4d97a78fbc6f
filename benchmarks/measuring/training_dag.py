"""The Dag `train_fraud_model` of a platform at work, and the person who answers it."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fraudstream.errors import FraudstreamError
from fraudstream.local.parts.airflow_api import AirflowApi

DAG = "train_fraud_model"
#: The most hours that the Dag takes.
MOST_HOURS = 168
RUN_SECONDS = 1_800.0
POLL_SECONDS = 1.0
_BETTER = "The challenger is better."
_ENDED = ("success", "failed")


class TrainingRunError(FraudstreamError):
    """A run of the Dag hasn't ended, or failed after its answer."""


@dataclass(frozen=True)
class Asked:
    """A training on the `hours` before `as_of`, a time of the past."""

    as_of: datetime
    hours: float
    trials: int


@dataclass(frozen=True)
class Answered:
    """What came of a training: promoted, or not, and why."""

    promoted: bool
    told: str
    seconds: float


def train(api: AirflowApi, asked: Asked) -> Answered:
    """Triggers the Dag, and approves a challenger that is shown to be better, as its runbook says; rejects others.

    Raises TrainingRunError when the run neither asks nor ends in time.
    """
    begun = time.monotonic()
    conf = {"as_of": f"{asked.as_of.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", "hours": asked.hours, "trials": asked.trials}
    run_id = f"as-of-{asked.as_of.astimezone(UTC):%Y%m%dT%H%M}"
    api.call("POST", f"/dags/{DAG}/dagRuns", {"logical_date": None, "dag_run_id": run_id, "conf": conf})
    run = f"/dags/{DAG}/dagRuns/{run_id}"
    question = _wait(api, run)
    if question is None:
        return Answered(False, f"no challenger: {_failure(api, run)}", time.monotonic() - begun)
    told = " ".join(line for line in question["body"].splitlines() if line and not line.startswith("| ---"))
    better = _BETTER in question["body"]
    answer = {"chosen_options": ["Approve" if better else "Reject"], "params_input": {}}
    api.call("PATCH", f"{run}/taskInstances/approve/-1/hitlDetails", answer)
    _wait(api, run, answered=True)
    if _state(api, run) != "success":
        raise TrainingRunError(f"the run {run_id} of {DAG} was answered, and failed: {_failure(api, run)}")
    return Answered(better, told, time.monotonic() - begun)


def _wait(api: AirflowApi, run: str, *, answered: bool = False) -> dict[str, Any] | None:
    """The question that the run asks; None when it has ended."""
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        if not answered and _waits(api, run):
            question: dict[str, Any] = api.call("GET", f"{run}/hitlDetails")["hitl_details"][0]
            return question
        if _state(api, run) in _ENDED:
            return None
        time.sleep(POLL_SECONDS)
    raise TrainingRunError(f"{run} hasn't ended within {timedelta(seconds=RUN_SECONDS)}")


def _waits(api: AirflowApi, run: str) -> bool:
    """Whether the task waits for its answer: of one that came before, while it was yet asking, it never heard."""
    tasks = api.call("GET", f"{run}/taskInstances")["task_instances"]
    return any(task["task_id"] == "approve" and task["state"] == "awaiting_input" for task in tasks)


def _state(api: AirflowApi, run: str) -> str:
    state: str = api.call("GET", run)["state"]
    return state


def _failure(api: AirflowApi, run: str) -> str:
    """The tasks that failed."""
    tasks = api.call("GET", f"{run}/taskInstances")["task_instances"]
    return ", ".join(f"{task['task_id']} {task['state']}" for task in tasks if task["state"] != "success")
