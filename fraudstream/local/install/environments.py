"""The runtimes' virtual environments, each from its own hash-pinned lock, made by uv."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from fraudstream.errors import FraudstreamError
from fraudstream.files import write_atomically
from fraudstream.settings import Settings

#: Environments that `up` makes besides the command line's own.
RUNTIMES = ("spark", "airflow", "superset")
#: Runtimes in which `fraudstream`, `model` and `spark_jobs` can be imported; Superset's doesn't need them.
WITH_PROJECT = frozenset({"spark", "airflow", "superset", "dev"})
PATH_FILE = "fraudstream.pth"


class InstallError(FraudstreamError):
    """An environment can't be made."""


def ready(settings: Settings, runtime: str) -> bool:
    """True when a runtime's environment is as its lock says."""
    stamp = _stamp_file(settings, runtime)
    return (
        stamp.is_file() and settings.paths.python(runtime).exists() and stamp.read_text() == _stamp(settings, runtime)
    )


def install(settings: Settings, runtime: str, tell: Callable[[str], None]) -> None:
    """Makes or updates a runtime's environment. An interrupted run is finished by the next one. Raises on failure."""
    if ready(settings, runtime):
        return
    _stamp_file(settings, runtime).unlink(missing_ok=True)
    python = settings.paths.python(runtime)
    if not _works(python):
        tell("making the environment")
        shutil.rmtree(settings.paths.venvs / runtime, ignore_errors=True)
        _uv(settings, runtime, "venv", "--python", sys.executable, str(settings.paths.venvs / runtime))
    tell("fetching and installing packages")
    lock = _lock(settings, runtime)
    _uv(settings, runtime, "pip", "sync", "--require-hashes", "--python", str(python), str(lock))
    if runtime in WITH_PROJECT:
        write_atomically(_packages(settings, runtime) / PATH_FILE, f"{settings.paths.project}\n", mode=0o644)
    write_atomically(_stamp_file(settings, runtime), _stamp(settings, runtime), mode=0o644)


def _stamp(settings: Settings, runtime: str) -> str:
    digest = hashlib.sha256(_lock(settings, runtime).read_bytes()).hexdigest()
    return f"{digest}\n{sys.version}\n{settings.paths.project}\n"


def _stamp_file(settings: Settings, runtime: str) -> Path:
    return settings.paths.venvs / runtime / ".stamp"


def _lock(settings: Settings, runtime: str) -> Path:
    return settings.paths.project / "requirements" / f"{runtime}.txt"


def _packages(settings: Settings, runtime: str) -> Path:
    return settings.paths.venvs / runtime / "lib" / "python3.11" / "site-packages"


def _works(python: Path) -> bool:
    if not python.exists():
        return False
    command = [str(python), "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 11))"]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0


def _uv(settings: Settings, runtime: str, *arguments: str) -> None:
    uv = settings.paths.venvs / "control" / "bin" / "uv"
    log = settings.paths.logs / f"environment-{runtime}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as output:
        done = subprocess.run(
            [str(uv), "--no-progress", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise InstallError(f"the {runtime} environment can't be made: {_last_line(log)}; read {log}, then run it again")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "no output"
