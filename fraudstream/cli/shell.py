"""Shared by the commands: becoming another program, and the addresses that one is told."""

import os
import sys
from typing import Any

from fraudstream.errors import UsageError
from fraudstream.settings import Settings, load_settings

#: For commands that hand arguments they don't know to another program.
OTHER_ARGUMENTS: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}
#: For commands that hand all their arguments, --help too, to another program.
PASS_THROUGH: dict[str, Any] = OTHER_ARGUMENTS | {"help_option_names": []}


def exports(settings: Settings) -> dict[str, str]:
    """The platform's addresses, by the names that `fraudctl env` exports."""
    return {
        "KAFKA_BOOTSTRAP": settings.kafka.bootstrap,
        "POSTGRES_DSN": settings.writer_dsn,
        "AIRFLOW_URL": settings.airflow_url,
        "SUPERSET_URL": settings.superset_url,
        "CREDENTIALS_FILE": str(settings.paths.credentials),
        "SPARK_PYTHON": str(settings.paths.python("spark")),
    }


def execute(program: str, *arguments: str) -> None:
    """Becomes another program."""
    sys.stdout.flush()
    os.execvp(program, [program, *arguments])  # noqa: S606 - no shell is wanted


def spark_python(*arguments: str) -> None:
    """Becomes the Spark environment's interpreter. Raises UsageError when that isn't installed."""
    python = load_settings().paths.python("spark")
    if not python.exists():
        raise UsageError(f"the spark environment is missing ({python}): run ./fraudctl up first")
    execute(str(python), "-P", *arguments)
