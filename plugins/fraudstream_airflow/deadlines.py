"""Deadlines of batch Dags: a run that hasn't ended in time is an incident, whether it failed, hangs, or never began."""

import asyncio
from datetime import timedelta

from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference

from fraudstream.settings import load_settings
from fraudstream.storage.connect import session
from fraudstream.watch import incidents
from fraudstream.watch.checks import Fault, Severity

#: Its incidents' source. Nothing sees that a later run was in time, so that they close a day after.
DEADLINE = "deadline"
QUIET_SECONDS = 86_400.0


def within(dag_id: str, minutes: int) -> DeadlineAlert:
    """A deadline so long after a run was queued."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=minutes),
        callback=AsyncCallback(open_incident, kwargs={"dag_id": dag_id, "minutes": minutes}),
    )


async def open_incident(dag_id: str, minutes: int) -> None:
    """Opens the incident, in the triggerer, which has a loop that mustn't wait."""
    await asyncio.to_thread(_open, dag_id, minutes)


def _open(dag_id: str, minutes: int) -> None:
    settings = load_settings()
    text = f"a run hadn't ended {minutes} minutes after it was queued: look at it in Airflow"
    with session(settings, settings.postgres.writer, name="deadline") as connection:
        incidents.see(connection, [Fault(DEADLINE, dag_id, Severity.WARNING, text)])
