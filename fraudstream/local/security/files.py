"""Modes and owners of what holds secrets, customers' data, or code that we run."""

import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from fraudstream.local.security.finding import Finding, failed, ok, unchecked
from fraudstream.settings import Settings

OTHERS = stat.S_IRWXG | stat.S_IRWXO
#: Variables of `fraudstream.env` that hold a secret have one of these in their name.
SECRET_WORDS = ("PASSWORD", "SECRET")


def private_files(settings: Settings) -> list[Path]:
    """Every file that holds a secret, of those that exist."""
    paths = settings.paths
    named = [
        paths.run / "supervisord.conf",  # the environment, in which settings may be secrets
        paths.kafka / "server.properties",
        paths.stream / "kafka.properties",  # as spark_jobs.source names it
        paths.postgres / "pg_hba.conf",
        paths.postgres / "postgresql.conf",
        paths.airflow / "airflow.cfg",
        paths.superset / "runtime.json",
        paths.superset / "viewer_password",
        paths.superset / "analyst_password",
    ]
    if settings.cluster.properties_file:
        named.append(settings.cluster.properties_file)
    env_file = paths.project / "fraudstream.env"
    if env_file.is_file() and any(word in env_file.read_text() for word in SECRET_WORDS):
        named.append(env_file)
    kept = sorted(path for path in paths.secrets.glob("*") if path.is_file()) if paths.secrets.is_dir() else []
    return kept + [path for path in named if path.is_file()]


def check(settings: Settings) -> Iterator[Finding]:
    """Private files are 0600, private folders 0700, both ours; nobody else can change what we run."""
    paths = settings.paths
    if not paths.secrets.is_dir():
        yield unchecked(f"{paths.secrets} doesn't exist yet", "run ./fraudctl up")
        return
    owner = paths.var.stat().st_uid
    folders = [folder for folder in paths.private if folder.is_dir()]
    found = private_files(settings)
    problems = [
        *(problem for folder in folders for problem in _private(folder, 0o700, owner)),
        *(problem for file in found for problem in _private(file, 0o600, owner)),
        *_changeable(settings),
    ]
    yield from problems
    if not problems:
        yield ok(f"{len(found)} files with secrets and {len(folders)} folders are their owner's alone")


def _private(path: Path, mode: int, owner: int) -> Iterator[Finding]:
    status = path.stat()
    if status.st_mode & OTHERS:
        shown = f"{stat.S_IMODE(status.st_mode):04o}"
        yield failed(f"{path} has mode {shown}: others can read or change it", f"chmod {mode:o} {_quoted(path)}")
    if status.st_uid != owner:
        yield failed(
            f"{path} belongs to user {status.st_uid}, and the platform to {owner}", f"chown {owner} {_quoted(path)}"
        )


def _changeable(settings: Settings) -> Iterator[Finding]:
    """Code that we run, and folders that hold it, where everybody may write."""
    project = settings.paths.project
    code = [project, *(project / name for name in ("fraudctl", "dags", "plugins", "superset", "fraudstream"))]
    for path in [settings.paths.var, settings.paths.venvs, *code]:
        if path.exists() and path.stat().st_mode & stat.S_IWOTH:
            yield failed(
                f"{path} can be changed by everybody, who then run what they like", f"chmod o-w {_quoted(path)}"
            )


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
