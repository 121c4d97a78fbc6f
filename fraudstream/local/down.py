"""Stopping everything, in order, and making sure that nothing is left."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from fraudstream.jobs.jobs import Job, jobs
from fraudstream.local import leftovers
from fraudstream.local.parts import airflow, kafka, postgres, superset
from fraudstream.local.steps import Tell
from fraudstream.local.supervisor import Supervisor
from fraudstream.settings import Settings


def down(settings: Settings, tell: Tell) -> None:
    """Stops Airflow first, so that it restarts nothing; then the jobs that it launched; then what they need."""
    supervisor = Supervisor(settings)
    running = supervisor.answers()
    if running:
        tell("Airflow and Superset")
        supervisor.stop(*(part.name for part in airflow.parts(settings)), superset.NAME)
    with ThreadPoolExecutor() as pool:
        list(pool.map(partial(_stop_job, tell), jobs(settings).values()))
    if running:
        tell("Kafka and PostgreSQL")
        supervisor.stop(kafka.NAME)
        supervisor.stop(postgres.NAME)
    ours = leftovers.our_processes(settings)  # while supervisord is there, by whose session some are known
    if running:
        supervisor.shutdown()
    left = leftovers.end([process for process in ours if process.is_running()])
    if left:
        tell(f"ended what was left: {', '.join(left)}")


def _stop_job(tell: Tell, job: Job) -> None:
    if identity := job.slot.running:
        tell(f"the {job.name}")
        job.slot.stop(identity)
