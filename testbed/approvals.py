"""The person who answers the question of a run in Airflow, where a task waits for approval."""

import time
from collections.abc import Callable
from typing import Any

from fraudstream.errors import FraudstreamError
from fraudstream.local.parts.airflow_api import AirflowApi

#: Until the scheduler has seen that the task pauses, it takes the pause of one that was answered for a failure, and the
#: task asks again after its retry's delay. So an answer takes its time, as a person's does, and is given once more.
READING_SECONDS = 10.0
_ENDED = ("success", "failed")
_POLL_SECONDS = 1.0


class UnansweredError(FraudstreamError):
    """A run neither asks nor ends in time."""


def answer(api: AirflowApi, run: str, task: str, choose: Callable[[str], str], seconds: float) -> str | None:
    """Answers each question of `task` until `run`, a path of the API, has ended.

    `choose` gets the question's text, and returns the option. Returns the last question's text; None when none was
    asked. Raises UnansweredError when that takes longer than `seconds`.
    """
    deadline, told = time.monotonic() + seconds, None
    while api.call("GET", run)["state"] not in _ENDED:
        if time.monotonic() > deadline:
            raise UnansweredError(f"{run} hasn't ended within {seconds:.0f} s")
        if question := _question(api, run, task):
            time.sleep(READING_SECONDS)
            told = str(question["body"])
            chosen = {"chosen_options": [choose(told)], "params_input": {}}
            api.call("PATCH", f"{run}/taskInstances/{task}/-1/hitlDetails", chosen)
        time.sleep(_POLL_SECONDS)
    return told


def _question(api: AirflowApi, run: str, task: str) -> dict[str, Any] | None:
    """What `task` waits for an answer to, if it does."""
    if api.call("GET", f"{run}/taskInstances/{task}")["state"] != "awaiting_input":
        return None
    found: dict[str, Any] = api.call("GET", f"{run}/hitlDetails")["hitl_details"][0]
    return None if found["response_received"] else found
