"""Stopping everything, in order, and making sure that nothing is left."""

from fraudstream.local import airflow, kafka, leftovers, postgres, superset
from fraudstream.local.jobs import jobs
from fraudstream.local.steps import Tell
from fraudstream.local.supervisor import Supervisor
from fraudstream.settings import Settings


def down(settings: Settings, tell: Tell) -> None:
    """Stops Airflow first, so that it restarts nothing; then the jobs that it launched; then what they need."""
    supervisor = Supervisor(settings)
    running = supervisor.answers()
    if running:
        tell("Airflow")
        supervisor.stop(*(program.name for program in airflow.programs(settings)))
    for name, job in jobs(settings).items():
        if identity := job.slot.running:
            tell(f"the {name}")
            job.slot.stop(identity)
    if running:
        tell("Superset, Kafka and PostgreSQL")
        supervisor.stop(superset.NAME, kafka.NAME)
        supervisor.stop(postgres.NAME)
        supervisor.shutdown()
    left = leftovers.end(leftovers.our_processes(settings))
    if left:
        tell(f"ended what was left: {', '.join(left)}")
