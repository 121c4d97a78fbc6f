"""The Dag `train_fraud_model` of a platform at work, and the person who answers it."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from fraudstream.errors import FraudstreamError
from fraudstream.local.parts.airflow_api import AirflowApi
from testbed.approvals import answer

DAG = "train_fraud_model"
RUN_SECONDS = 1_800.0
_BETTER = "The challenger is better."


class TrainingRunError(FraudstreamError):
    """A run of the Dag failed after its answer."""


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

    Raises TrainingRunError when the run fails after its answer, UnansweredError when it neither asks nor ends in time.
    """
    begun = time.monotonic()
    conf = {"as_of": f"{asked.as_of.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", "hours": asked.hours, "trials": asked.trials}
    run_id = f"as-of-{asked.as_of.astimezone(UTC):%Y%m%dT%H%M}"
    api.call("POST", f"/dags/{DAG}/dagRuns", {"logical_date": None, "dag_run_id": run_id, "conf": conf})
    run = f"/dags/{DAG}/dagRuns/{run_id}"
    question = answer(api, run, "approve", lambda body: "Approve" if _BETTER in body else "Reject", RUN_SECONDS)
    if question is None:
        return Answered(False, f"no challenger: {_failure(api, run)}", time.monotonic() - begun)
    if _state(api, run) != "success":
        raise TrainingRunError(f"the run {run_id} of {DAG} was answered, and failed: {_failure(api, run)}")
    told = " ".join(line for line in question.splitlines() if line and not line.startswith("| ---"))
    return Answered(_BETTER in question, told, time.monotonic() - begun)


def _state(api: AirflowApi, run: str) -> str:
    state: str = api.call("GET", run)["state"]
    return state


def _failure(api: AirflowApi, run: str) -> str:
    """The tasks that failed."""
    tasks = api.call("GET", f"{run}/taskInstances")["task_instances"]
    return ", ".join(f"{task['task_id']} {task['state']}" for task in tasks if task["state"] != "success")
