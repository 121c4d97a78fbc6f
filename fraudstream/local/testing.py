"""`fraudctl test`: makes the environment for tests, and runs what was asked for."""

import subprocess
from collections.abc import Callable, Sequence

from fraudstream.errors import FraudstreamError
from fraudstream.local.install import environments, jars
from fraudstream.settings import Settings

SUITES = ("unit", "integration", "faults", "e2e", "browser", "compose")
#: What `all` runs, in one process each: the last two share a running platform. `compose` is asked for by name.
PLAN = (("unit",), ("integration",), ("faults",), ("e2e", "browser"))
#: Checks of the code itself: programs of the dev environment, each with its arguments.
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
    # A test that doesn't import is told now, not when the suites before its own have run.
    ("pytest", "--collect-only", "--quiet", "--quiet", *(f"tests/{suite}" for suite in SUITES)),
)


#: What `compose` asks of the machine, each with what its absence means.
ENGINE = (
    (("docker", "version", "--format", "{{.Server.Version}}"), "no container engine answers"),
    (("docker", "compose", "version", "--short"), "docker has no compose"),
)
ENGINE_SECONDS = 30


class SuiteError(FraudstreamError):
    """There is no such suite, or the machine lacks what it needs."""


def run_tests(settings: Settings, suite: str, arguments: Sequence[str], tell: Callable[[str], None]) -> int:
    """Runs a suite, or the checks and every suite. Returns the first exit status that isn't 0. Raises SuiteError."""
    if suite != "all" and suite not in SUITES:
        raise SuiteError(f"no test suite {suite!r}: choose one of {', '.join(SUITES)}, or none for all")
    if suite == "compose":
        check_engine()
    _prepare(settings, suite, arguments, tell)
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


def check_engine() -> None:
    """Raises SuiteError when this machine can't run containers."""
    for command, absent in ENGINE:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=ENGINE_SECONDS, check=False)
            why = done.stderr.strip().splitlines()[-1:] if done.returncode else None
        except (FileNotFoundError, subprocess.TimeoutExpired) as error:
            why = [str(error)]
        if why is not None:
            raise SuiteError(
                f"{absent} ({' '.join(command[:2])}: {''.join(why) or 'no output'}): start Docker with Compose 2.24 or "
                "newer, or set DOCKER_HOST; docs/containers.md says how to do it with Debian's packages"
            )


def _prepare(settings: Settings, suite: str, arguments: Sequence[str], tell: Callable[[str], None]) -> None:
    """Installs what the suite needs: its own environment, and what of the platform it runs here."""
    runtimes: Sequence[str] = ("spark", "airflow", "superset")
    folders: Sequence[str] = tuple(jars.ROOTS)
    if suite in ("unit", "compose"):  # the stack's environments are made in the images
        standin = "--standin" in arguments
        runtimes, folders = (("spark",), ("kafka",)) if standin else ((), ())
    for name in ("dev", *runtimes):
        tell(f"{name} environment")
        environments.install(settings, name, tell)
    for folder in folders:
        tell(f"jars of {folder}")
        jars.install(settings, folder)
