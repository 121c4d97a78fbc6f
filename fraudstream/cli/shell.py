"""Shared by the commands: becoming another program, and the addresses that one is told."""

import os
import sys
from typing import Any

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
    """Becomes the Spark environment's interpreter, for which that is made first where it is missing."""
    settings = load_settings()
    python = settings.paths.python("spark")
    if not python.exists():
        from fraudstream.local.install import environments

        tell_beside("the spark environment is missing, and made now (once)")
        environments.install(settings, "spark", tell_beside)
    execute(str(python), "-P", *arguments)


def tell_beside(line: str) -> None:
    """Prints a line of progress where it doesn't mix with a command's output."""
    print(line, file=sys.stderr, flush=True)
