"""`fraudctl backup` and `fraudctl restore`: the schema `fraud`, models, profile snapshots and archive, as one folder.

Kafka and the checkpoint aren't in it, nor an archive in an object store. After a restore the ledger is older than
these: the stream refuses to go on until `fraudctl rebuild` has its state made anew from a snapshot and Kafka, and then
scores again what came after the backup.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from fraudstream.archive import lock
from fraudstream.erasure import record
from fraudstream.errors import FraudstreamError
from fraudstream.files import delete, private_folder
from fraudstream.local.down import down
from fraudstream.local.parts.postgres import binary
from fraudstream.local.supervisor import Supervisor
from fraudstream.local.up import Up, prepare_machine
from fraudstream.settings import Settings
from fraudstream.snapshots.folders import DRAFT, newest_first
from fraudstream.snapshots.manifest import MANIFEST
from fraudstream.storage.connect import connect
from fraudstream.storage.tables import SCHEMA

DUMP = "fraud.dump"
MODELS = "models"
ARCHIVE = "archive"
SNAPSHOTS = "snapshots"
#: A restore replaces every table, which somebody who reads one holds up.
LOCK_TIMEOUT = "30s"
STREAM_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fraud_scoring_stream'"
_KNOWS_ERASURES = "SELECT to_regclass('fraud.erasures') IS NOT NULL"

Tell = Callable[[str], None]


class BackupError(FraudstreamError):
    """A backup can't be made or used; the message names its folder."""


def back_up(settings: Settings, folder: Path, tell: Tell) -> None:
    """Writes a new folder: one moment of the database, the models that it names, snapshots and archive before it.

    The platform may run; the archive takes nothing while it is copied. Raises BackupError when the folder exists, or
    PostgreSQL can't be read.
    """
    if folder.exists():
        raise BackupError(f"{folder} exists: name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        made = private_folder(Path(temporary) / folder.name)
        tell("the snapshots of profiles")  # before the database: one that is newer than the ledger is of no use to it
        for snapshot in newest_first(settings.paths.snapshots):
            _copy_snapshot(snapshot.folder, made / SNAPSHOTS)
        _copy_archive(settings, made / ARCHIVE, tell)
        tell(f"the schema {SCHEMA} of PostgreSQL")
        dsn = settings.dsn(settings.postgres.admin)
        _run("pg_dump", "--dbname", dsn, "--schema", SCHEMA, "--format", "custom", "--file", str(made / DUMP))
        (made / DUMP).chmod(0o600)
        tell("the models")
        private_folder(settings.paths.models)
        shutil.copytree(settings.paths.models, made / MODELS)
        made.rename(folder)
    settings.paths.backed_up.touch(mode=0o600)  # for watch_platform


def run_restore(settings: Settings, folder: Path, tell: Tell) -> None:
    """Restores into a platform that is down; an embedded PostgreSQL runs meanwhile. Raises BackupError.

    The schema is then of the backup's release, so that this release's `up`, or that one's, can go on from it.
    """
    if Supervisor(settings).answers():
        raise BackupError("the platform runs: ./fraudctl down first")
    if not (folder / DUMP).is_file():
        raise BackupError(f"{folder} is not a backup: it has no {DUMP}")
    try:
        for line in prepare_machine(settings):
            tell(line)
        Up(settings).postgres(tell)
        _restore(settings, folder, tell)
    finally:
        down(settings, lambda what: tell(f"stopping {what}"))


def _restore(settings: Settings, folder: Path, tell: Tell) -> None:
    admin = settings.postgres.admin
    with connect(settings, admin) as connection:
        row = connection.execute(STREAM_SESSIONS).fetchone()
    if row and row[0]:
        raise BackupError("the streaming job is connected: stop it first (pause its Dag, mark its task failed)")
    _record_erasures(settings)  # those since the backup; the next `up` erases again
    tell(f"the schema {SCHEMA} of PostgreSQL")
    replace_schema(settings, folder / DUMP)
    _record_erasures(settings)  # those before it, of which the archive may not have known
    restore_archive(settings, folder, tell)
    tell("the models")
    for version in sorted((folder / MODELS).iterdir()):
        if not (settings.paths.models / version.name).exists():
            shutil.copytree(version, settings.paths.models / version.name)
    tell("the snapshots of profiles")
    for snapshot in newest_first(folder / SNAPSHOTS):
        if not (settings.paths.snapshots / snapshot.name).exists():
            _copy_snapshot(snapshot.folder, settings.paths.snapshots)


def _record_erasures(settings: Settings) -> None:
    with connect(settings, settings.postgres.admin) as connection:
        if connection.execute(_KNOWS_ERASURES).fetchall()[0][0]:
            record.write(settings, connection)


def _copy_archive(settings: Settings, made: Path, tell: Tell) -> None:
    """Copies the archive before the database: what it lacks then is still in Kafka, and the next run appends it."""
    url = settings.archive_url
    if "://" in url:
        tell(f"not the archive at {url}: that is for the object store's versions")
    elif Path(url).is_dir():
        tell("the archive")
        with lock.alone(settings):
            shutil.copytree(url, made)


def restore_archive(settings: Settings, folder: Path, tell: Tell) -> None:
    """Puts a backup's tables in the place of the archive's, which have what is to be scored again."""
    url, saved = settings.archive_url, folder / ARCHIVE
    if not saved.is_dir() or "://" in url:
        tell(f"not the archive at {url}, of which the backup has none: what is scored again comes there a second time")
        return
    tell("the archive")
    archive = private_folder(Path(url))
    drafts = archive / f"{DRAFT}{ARCHIVE}"
    delete(drafts)  # of a restore that was interrupted
    shutil.copytree(saved, drafts)
    for table in archive.iterdir():
        if table != drafts:
            delete(table)
    for table in drafts.iterdir():
        table.rename(archive / table.name)
    drafts.rmdir()


def _copy_snapshot(folder: Path, root: Path) -> None:
    """Copies a snapshot; one that the Dag `snapshot_profiles` deletes meanwhile is old, and left out."""
    private_folder(root)
    draft = root / f"{DRAFT}{folder.name}"
    shutil.rmtree(draft, ignore_errors=True)  # of a copy that was interrupted
    try:
        shutil.copytree(folder, draft)
    except (FileNotFoundError, shutil.Error):
        if (folder / MANIFEST).is_file():
            raise
        shutil.rmtree(draft, ignore_errors=True)
        return
    draft.rename(root / folder.name)


def replace_schema(settings: Settings, dump: Path) -> None:
    """Replaces the schema by a dump's, in one transaction. Raises BackupError; nothing has changed then.

    `pg_restore --clean` drops what the dump holds, which a schema with a later release's tables outlasts. So psql drops
    it whole, and commits only once pg_restore has read the dump to its end.
    """
    drop = (
        "BEGIN",
        f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL client_min_messages = warning",
        f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE",
    )
    commands = (argument for statement in drop for argument in ("--command", statement))
    dsn = settings.dsn(settings.postgres.admin)
    psql = (str(binary("psql")), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", dsn, *commands)
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen((*psql, "--file=-"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said) as writer,
    ):
        read = subprocess.run(
            (str(binary("pg_restore")), "--file=-", str(dump)), stdout=writer.stdin, stderr=said, check=False
        )
        writer.communicate(None if read.returncode else b"COMMIT;\n")
        said.seek(0)
        if read.returncode or writer.returncode:
            raise BackupError(f"{dump} can't be restored: {said.read().decode(errors='replace').strip()[-1000:]}")


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run([str(binary(program)), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackupError(f"{program} failed: {done.stderr.strip()[-1000:] or f'exit status {done.returncode}'}")
