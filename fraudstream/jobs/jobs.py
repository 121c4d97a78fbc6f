"""The long-lived jobs that Airflow launches and watches, and that `down` stops."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from fraudstream.jobs.heartbeat import Patience, State, is_stalled
from fraudstream.jobs.slot import Slot
from fraudstream.settings import ENV_PREFIX, Settings

#: The Dag that keeps each job running.
DAGS = {"stream": "fraud_scoring_stream", "producer": "event_producer"}
#: Settings that no job reads: who is told of incidents, and who may read metrics.
AIRFLOW_ALONE = (f"{ENV_PREFIX}NOTIFY__", f"{ENV_PREFIX}METRICS__")


@dataclass(frozen=True)
class JobState:
    """A job as it is now. `state` is its heartbeat's word, or `stopped`, `starting` or `stalled`; times in seconds."""

    state: str
    pid: int | None = None
    uptime_s: float | None = None
    heartbeat_age_s: float | None = None
    progress: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Job:
    """One long-lived job: at most one process of it runs at a time."""

    name: str
    slot: Slot
    log: Path

    def state(self, settings: Settings) -> JobState:
        """The job's state, from its process and its heartbeat."""
        identity = self.slot.running
        if identity is None:
            last = self.slot.identity
            words = self.slot.heartbeat_of(last) if last else None
            return JobState("stopped", problem=words.problem if words and words.state is State.FAILED else "")
        heartbeat = self.slot.heartbeat_of(identity)
        age = self.slot.heartbeat_age(identity)
        uptime = time.time() - identity.launched_at
        stalled = is_stalled(heartbeat, age, patience(settings))
        if heartbeat is None:
            return JobState("stalled" if stalled else State.STARTING, identity.pid, uptime)
        state = "stalled" if stalled else heartbeat.state
        return JobState(state, identity.pid, uptime, age, heartbeat.progress, heartbeat.problem)


def patience(settings: Settings) -> Patience:
    """The settings' limits for a heartbeat's age."""
    return Patience(settings.stream.startup_timeout_seconds, settings.stream.heartbeat_timeout_seconds)


def jobs(settings: Settings) -> dict[str, Job]:
    """All jobs by name. Each logs to a file that is named like it."""
    slots = {"stream": settings.paths.stream, "producer": settings.paths.producer}
    return {name: Job(name, Slot(folder), settings.paths.logs / f"{name}.log") for name, folder in slots.items()}


def paused_problem(name: str, dag_id: str) -> str:
    """What to tell of a job that has ended while its Dag is paused, with a run under way."""
    return (
        f"the {name} has ended, and its Dag {dag_id} is paused, so that nothing starts it again: unpause the Dag, "
        "or run ./fraudctl up; if it should stay stopped, mark the run failed"
    )


def job_environment() -> dict[str, str]:
    """The environment that a job inherits: this process's, without Airflow's variables, which can hold secrets.

    Settings about Airflow are ours, and those with secrets that Airflow alone needs stay with it.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if ("AIRFLOW" not in name or name.startswith(ENV_PREFIX)) and not name.startswith(AIRFLOW_ALONE)
    }
    return inherited | {"PYTHONUNBUFFERED": "1"}
