"""The long-lived jobs that Airflow launches and watches, and that `down` stops."""

import os
from dataclasses import dataclass
from pathlib import Path

from fraudstream.local.process import Slot
from fraudstream.settings import Settings


@dataclass(frozen=True)
class Job:
    """One long-lived job: at most one process of it runs at a time."""

    name: str
    slot: Slot
    log: Path


def jobs(settings: Settings) -> dict[str, Job]:
    """All jobs by name. Each logs to a file that is named like it."""
    slots = {"stream": settings.paths.stream, "producer": settings.paths.producer}
    return {name: Job(name, Slot(folder), settings.paths.logs / f"{name}.log") for name, folder in slots.items()}


def job_environment() -> dict[str, str]:
    """What a job inherits: this process's environment without Airflow's own variables, which can hold secrets."""
    inherited = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name}
    return inherited | {"PYTHONUNBUFFERED": "1"}
