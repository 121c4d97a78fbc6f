"""`fraudctl test`: makes the environment for tests, and runs what was asked for."""

import subprocess
from collections.abc import Callable, Sequence

from fraudstream.errors import FraudstreamError
from fraudstream.local import environments, jars
from fraudstream.settings import Settings

SUITES = ("unit", "integration", "faults", "e2e", "browser")
#: What `all` runs, in one process each: the last two share a running platform. The faults are asked for by name.
PLAN = (("unit",), ("integration",), ("e2e", "browser"))
#: Checks of the code itself: programs of the dev environment, each with its arguments.
CHECKS = (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",), ("lint-imports",))


class SuiteError(FraudstreamError):
    """There is no such suite."""


def run_tests(settings: Settings, suite: str, arguments: Sequence[str], tell: Callable[[str], None]) -> int:
    """Runs a suite, or the checks and every suite. Returns the first exit status that isn't 0. Raises SuiteError."""
    if suite != "all" and suite not in SUITES:
        raise SuiteError(f"no test suite {suite!r}: choose one of {', '.join(SUITES)}, or none for all")
    _prepare(settings, suite, tell)
    python = str(settings.paths.python("dev"))
    programs = settings.paths.python("dev").parent
    commands = [(str(programs / name), *rest) for name, *rest in CHECKS] if suite == "all" else []
    plan = PLAN if suite == "all" else ((suite,),)
    commands.extend((python, "-m", "pytest", *(f"tests/{name}" for name in suites), *arguments) for suites in plan)
    for command in commands:
        tell(f"$ {' '.join(command)}")
        done = subprocess.run(command, cwd=settings.paths.project, check=False)
        if done.returncode:
            return done.returncode
    return 0


def _prepare(settings: Settings, suite: str, tell: Callable[[str], None]) -> None:
    """Installs what the suite needs: unit tests their own environment, all others the platform's as well."""
    for name in ("dev",) if suite == "unit" else ("dev", "spark", "airflow", "superset"):
        tell(f"{name} environment")
        environments.install(settings, name, tell)
    for folder in () if suite == "unit" else jars.ROOTS:
        tell(f"jars of {folder}")
        jars.install(settings, folder)
