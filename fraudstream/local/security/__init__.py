"""Checks that the platform is closed to those it should be closed to: `./fraudctl doctor --security`.

Every check names what it looked at, or what is wrong and how to mend it. It reads, and changes nothing; what can't be
looked at, because a part is down or another's, is said, and is no failure. No secret's value is ever shown.
"""

from collections.abc import Callable, Iterator

from fraudstream.local.security import database, files, listeners, services, values
from fraudstream.local.security.finding import Finding, Outcome
from fraudstream.settings import Settings

__all__ = ["CHECKS", "Finding", "Outcome", "examine"]

#: The checks by name, in the order in which they are told.
CHECKS: dict[str, Callable[[Settings], Iterator[Finding]]] = {
    "files": files.check,
    "secrets": values.check,
    "command lines": values.check_command_lines,
    "listeners": listeners.check,
    "kafka": services.check_kafka,
    "airflow": services.check_airflow,
    "superset": services.check_superset,
    "postgres access": database.check_access,
    "postgres roles": database.check_roles,
}


def examine(settings: Settings) -> Iterator[tuple[str, Finding]]:
    """Every finding, with the name of its check."""
    for name, check in CHECKS.items():
        for finding in check(settings):
            yield name, finding
