"""The platform's parts, all of them."""

from fraudstream.local.parts import airflow, kafka, postgres, superset
from fraudstream.local.parts.part import Part
from fraudstream.settings import Settings


def parts(settings: Settings) -> list[Part]:
    """Everything that supervisord keeps."""
    found = [*airflow.parts(settings), *superset.parts(settings)]
    if settings.kafka.embedded:
        found.append(kafka.part(settings))
    if settings.postgres.embedded:
        found.append(postgres.part(settings))
    return found
