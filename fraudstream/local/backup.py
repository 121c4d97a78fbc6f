"""`fraudctl backup` and `fraudctl restore`: the schema `fraud` and the models, as one folder.

Kafka and the checkpoint aren't in it. After a restore the ledger is older than both: the stream refuses to go on until
`fraudctl rebuild` has its state made anew from Kafka, and then scores again what came after the backup.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from fraudstream.errors import FraudstreamError
from fraudstream.files import private_folder
from fraudstream.local.down import down
from fraudstream.local.parts.postgres import binary
from fraudstream.local.supervisor import Supervisor
from fraudstream.local.up import Up, prepare_machine
from fraudstream.settings import Settings
from fraudstream.storage.connect import connect
from fraudstream.storage.tables import SCHEMA

DUMP = "fraud.dump"
MODELS = "models"
#: A restore replaces every table, which somebody who reads one holds up.
LOCK_TIMEOUT = "30s"
STREAM_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fraud_scoring_stream'"

Tell = Callable[[str], None]


class BackupError(FraudstreamError):
    """A backup can't be made or used; the message names its folder."""


def back_up(settings: Settings, folder: Path, tell: Tell) -> None:
    """Writes a new folder with one moment of the database, and the models that it names. The platform may run.

    Raises BackupError when the folder exists, or PostgreSQL can't be read.
    """
    if folder.exists():
        raise BackupError(f"{folder} exists: name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        made = private_folder(Path(temporary) / folder.name)
        tell(f"the schema {SCHEMA} of PostgreSQL")
        dsn = settings.dsn(settings.postgres.admin)
        _run("pg_dump", "--dbname", dsn, "--schema", SCHEMA, "--format", "custom", "--file", str(made / DUMP))
        (made / DUMP).chmod(0o600)
        tell("the models")
        private_folder(settings.paths.models)
        shutil.copytree(settings.paths.models, made / MODELS)
        made.rename(folder)


def run_restore(settings: Settings, folder: Path, tell: Tell) -> None:
    """Restores into a platform that is down; an embedded PostgreSQL runs meanwhile. Raises BackupError."""
    if Supervisor(settings).answers():
        raise BackupError("the platform runs: ./fraudctl down first")
    if not (folder / DUMP).is_file():
        raise BackupError(f"{folder} is not a backup: it has no {DUMP}")
    try:
        for line in prepare_machine(settings):
            tell(line)
        up = Up(settings)
        up.postgres(tell)
        _restore(settings, folder, tell)
        up.schema(tell)  # a backup of an earlier release becomes one of this release
    finally:
        down(settings, lambda what: tell(f"stopping {what}"))


def _restore(settings: Settings, folder: Path, tell: Tell) -> None:
    admin = settings.postgres.admin
    with connect(settings, admin) as connection:
        row = connection.execute(STREAM_SESSIONS).fetchone()
    if row and row[0]:
        raise BackupError("the streaming job is connected: stop it first (pause its Dag, mark its task failed)")
    tell(f"the schema {SCHEMA} of PostgreSQL")
    dsn = f"{settings.dsn(admin)}&options=-clock_timeout%3D{LOCK_TIMEOUT}"
    _run("pg_restore", "--dbname", dsn, "--clean", "--if-exists", "--single-transaction", str(folder / DUMP))
    tell("the models")
    for version in sorted((folder / MODELS).iterdir()):
        if not (settings.paths.models / version.name).exists():
            shutil.copytree(version, settings.paths.models / version.name)


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run([str(binary(program)), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackupError(f"{program} failed: {done.stderr.strip()[-1000:] or f'exit status {done.returncode}'}")
