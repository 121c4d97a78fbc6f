"""`fraudctl test`: makes the environment for tests, and runs what was asked for."""

import os
import subprocess
from collections.abc import Callable, Sequence

import psutil

from fraudstream.errors import FraudstreamError
from fraudstream.local import lanes
from fraudstream.local.install import environments, jars
from fraudstream.settings import Settings

SUITES = ("unit", "integration", "faults", "e2e", "browser", "compose")
#: Processes of `all`, in the order of their starts: the longest first, so that no lane is long empty at the end.
#: `e2e` and `browser` share a platform, and wait most of the time. `compose` is asked for by name.
PLAN = (("integration",), ("e2e", "browser"), ("faults",), ("unit",))
LANES = 2
#: Suites without servers, which compute while those of the lanes wait for theirs.
LIGHT = ("unit",)
#: Two suites at once hold up to 9 GiB, and the light ones 1; a machine with less runs one after the other.
MEMORY_OF_LANES_GIB = 12
GIB = 2**30
#: Checks of the code itself, by their names: programs of the dev environment with their arguments, the longest first.
CHECKS = {
    "mypy": ("mypy",),
    # A test that doesn't import is told now, not when the suites before its own have run.
    "collection": ("pytest", "--collect-only", "--quiet", "--quiet", *(f"tests/{suite}" for suite in SUITES)),
    "lint-imports": ("lint-imports",),
    "ruff check": ("ruff", "check", "."),
    "ruff format": ("ruff", "format", "--check", "."),
}


#: What `compose` asks of the machine, each with what its absence means.
ENGINE = (
    (("docker", "version", "--format", "{{.Server.Version}}"), "no container engine answers"),
    (("docker", "compose", "version", "--short"), "docker has no compose"),
)
ENGINE_SECONDS = 30


class SuiteError(FraudstreamError):
    """There is no such suite, or the machine lacks what it needs."""


def run_tests(settings: Settings, suite: str, arguments: Sequence[str], tell: Callable[[str], None]) -> int:
    """Runs a suite, or the checks and then every suite, some at a time. Returns the first exit status that isn't 0.

    A check that fails ends it, when all checks have run; after a suite that fails, the others still run, since one run
    should tell all failures. Raises SuiteError.
    """
    if suite != "all" and suite not in SUITES:
        raise SuiteError(f"no test suite {suite!r}: choose one of {', '.join(SUITES)}, or none for all")
    if suite == "compose":
        check_engine()
    _keep_compiled_modules(settings)
    _prepare(settings, suite, arguments, tell)
    if suite == "all":
        return _run_all(settings, arguments, tell)
    return _run(settings, _pytest(settings, [suite], arguments), tell)


def _keep_compiled_modules(settings: Settings) -> None:
    """Lets Python keep what it compiles under `var`, where it was told to write nothing beside the sources.

    Without, each of the hundreds of processes that tests start compiles all that it imports again: Superset's first
    9 s of a core are 3 then, the streaming job's 7 are 4.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(settings.paths.var / "pycache"))


def _run_all(settings: Settings, arguments: Sequence[str], tell: Callable[[str], None]) -> int:
    number = _lanes(tell)
    if status := _run_checks(settings, number, tell):
        return status
    plan = [
        lanes.Command(" ".join(suites), _pytest(settings, suites, arguments), number > 1 and set(suites) <= set(LIGHT))
        for suites in PLAN
    ]
    results = lanes.run_all(plan, number, settings.paths.project, settings.paths.logs / "tests", tell)
    tell("\n".join(map(str, results)))
    return lanes.status_of(results)


def _run_checks(settings: Settings, number: int, tell: Callable[[str], None]) -> int:
    """Runs all checks, `number` at a time. Returns the first exit status that isn't 0."""
    programs = settings.paths.python("dev").parent
    checks = [lanes.Command(name, (str(programs / program), *rest)) for name, (program, *rest) in CHECKS.items()]
    results = lanes.run_all(checks, number, settings.paths.project, settings.paths.logs / "checks", tell)
    return lanes.status_of(results)


def _run(settings: Settings, command: Sequence[str], tell: Callable[[str], None]) -> int:
    tell(f"$ {' '.join(command)}")
    return subprocess.run(command, cwd=settings.paths.project, check=False).returncode


def _pytest(settings: Settings, suites: Sequence[str], arguments: Sequence[str]) -> tuple[str, ...]:
    python = str(settings.paths.python("dev"))
    return (python, "-m", "pytest", *(f"tests/{suite}" for suite in suites), *arguments)


def _lanes(tell: Callable[[str], None]) -> int:
    available = psutil.virtual_memory().available / GIB
    if available >= MEMORY_OF_LANES_GIB and (os.cpu_count() or 1) >= LANES:
        return LANES
    tell(f"one suite at a time: two need {LANES} cores and {MEMORY_OF_LANES_GIB} GiB, {available:.1f} are available")
    return 1


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
