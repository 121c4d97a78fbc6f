"""Stops jobs whose task was ended while no triggerer ran to notice it.

A trigger's `on_kill` stops the job when a user ends its task. With the triggerer down nobody calls that, so every
component of Airflow that starts looks for such jobs once: alive, but with an owner that is finished or gone.
"""

import logging
from typing import TYPE_CHECKING

import msgspec
from airflow.listeners import hookimpl
from msgspec import Struct

from fraudstream.files import write_atomically
from fraudstream.jobs.jobs import Job, jobs
from fraudstream.settings import load_settings
from fraudstream_airflow.workers import end_idle_workers

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

log = logging.getLogger(__name__)


class Owner(Struct, frozen=True):
    """The task instance that a job belongs to."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


def record_owner(job: Job, task_instance: "RuntimeTaskInstanceProtocol") -> None:
    """Notes whose job it is; before the launch, so that no job is ever without a living owner."""
    ti = task_instance
    owner = Owner(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index)
    write_atomically(job.slot.folder / "owner.json", msgspec.json.encode(owner).decode())


@hookimpl
def on_starting(component: object) -> None:
    """Runs in each of Airflow's components at its start."""
    from airflow.jobs.job import Job as AirflowJob

    if isinstance(component, AirflowJob):  # tasks start too, but see no database
        stop_orphans()
        end_idle_workers()


def stop_orphans() -> None:
    """Stops every job whose owner is finished or gone."""
    for job in jobs(load_settings()).values():
        identity, owner = job.slot.running, _owner(job)
        if identity and owner and _is_over(owner):
            log.warning("Stopping job %s (process %s): its task %s is over", job.name, identity.pid, owner)
            job.slot.stop(identity)


def _owner(job: Job) -> Owner | None:
    try:
        return msgspec.json.decode((job.slot.folder / "owner.json").read_bytes(), type=Owner)
    except FileNotFoundError:
        return None


def _is_over(owner: Owner) -> bool:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import State
    from sqlalchemy import select

    with create_session() as session:
        row = session.execute(select(TaskInstance.state).filter_by(**msgspec.structs.asdict(owner))).first()
    return row is None or row.state in State.finished
