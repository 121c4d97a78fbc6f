"""The platform's long-lived programs, all of them."""

from fraudstream.local.parts import airflow, kafka, postgres, superset
from fraudstream.local.programs import Program
from fraudstream.settings import Settings


def programs(settings: Settings) -> list[Program]:
    """Everything that supervisord keeps."""
    found = [*airflow.programs(settings), *superset.programs(settings)]
    if settings.kafka.embedded:
        found.append(kafka.program(settings))
    if settings.postgres.embedded:
        found.append(postgres.program(settings))
    return found
