"""Jobs that have ended and that nobody starts again, since their Dag is paused.

Airflow sends no task of a paused Dag to a worker, not even of a run that is under way (apache/airflow#71381): the
trigger tells of the job's end, and the task waits, *scheduled*, until somebody unpauses the Dag.
"""

from collections.abc import Mapping
from typing import Any

from fraudstream.jobs.jobs import DAGS, paused_problem


def problems(jobs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The problem of each job that is stopped and should run; `jobs` as `health.collect` tells them.

    In Airflow's own processes only, which see its database.
    """
    return [
        paused_problem(name, DAGS[name]) for name, job in jobs.items() if job["state"] == "stopped" and _waits(name)
    ]


def _waits(name: str) -> bool:
    """True when the job's Dag is paused with a run under way."""
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import State
    from sqlalchemy import select

    with create_session() as session:
        paused = session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == DAGS[name]))
        unfinished = select(DagRun.id).where(DagRun.dag_id == DAGS[name], DagRun.state.in_(State.unfinished_dr_states))
        return bool(paused) and session.scalar(unfinished.limit(1)) is not None
