"""The registry of models, table fraud.model_versions: champion, challenger, archived ones, and their folders.

A registered model is a copy of its own, `var/models/<version>`: what happens later to the folder that it came from, a
training's or a pull's, doesn't reach what scores. There is at most one champion and one challenger.

Needs no scikit-learn: it also runs where nothing is scored. Every function is a transaction of its own, or a part of
the caller's when one is open.
"""

import re
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from fraudstream.errors import FraudstreamError
from fraudstream.settings import PROJECT_DIR
from model.serving.artifact import ArtifactError, Metadata, read_metadata

PRETRAINED = PROJECT_DIR / "model" / "pretrained"
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # it names a folder


class RegistryError(FraudstreamError):
    """The registry can't do what was asked; the message names the version."""


@dataclass(frozen=True)
class ModelVersion:
    """A registered model. `artifact` is the folder of its files."""

    version: str
    status: str
    artifact: Path
    sha256: str
    features: tuple[str, ...]
    threshold: float
    metrics: dict[str, Any]
    trained_at: datetime
    shipped: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "artifact", PROJECT_DIR / self.artifact)  # an absolute path stays as it is
        object.__setattr__(self, "features", tuple(self.features))


_COLUMNS = "version, status, artifact, sha256, features, threshold, metrics, trained_at, shipped"
_SELECT = f"SELECT {_COLUMNS} FROM fraud.model_versions"  # noqa: S608 (a constant)
_INSERT = (
    f"INSERT INTO fraud.model_versions ({_COLUMNS}) "  # noqa: S608 (a constant)
    "VALUES (%s, 'archived', %s, %s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (version) DO UPDATE SET artifact = excluded.artifact "
    "WHERE model_versions.sha256 = excluded.sha256 AND model_versions.threshold = excluded.threshold "
    "RETURNING xmax = 0 AS inserted"
)


def champion(connection: psycopg.Connection[Any]) -> ModelVersion | None:
    """The model that scores, or None when there is none yet."""
    return _one(connection, f"{_SELECT} WHERE status = 'champion'")


def challenger(connection: psycopg.Connection[Any]) -> ModelVersion | None:
    """The model that may become champion, and scores in the champion's shadow; None when there is none."""
    return _one(connection, f"{_SELECT} WHERE status = 'challenger'")


def versions(connection: psycopg.Connection[Any]) -> list[ModelVersion]:
    """All registered models, the newest first."""
    with connection.transaction(), connection.cursor(row_factory=class_row(ModelVersion)) as cursor:
        return cursor.execute(f"{_SELECT} ORDER BY trained_at DESC, version").fetchall()


def find(connection: psycopg.Connection[Any], version: str) -> ModelVersion:
    """The model `version`. Raises RegistryError when it isn't registered."""
    found = _one(connection, f"{_SELECT} WHERE version = %s", (version,))
    if found is None:
        raise RegistryError(f"model {version} isn't registered; register its folder first")
    return found


def register(
    connection: psycopg.Connection[Any],
    folder: Path,
    models: Path,
    status: str = "challenger",
    *,
    shipped: bool = False,
) -> ModelVersion:
    """Copies the model in `folder` to `models`/<version> and registers it; a version that is known keeps its status.

    A new challenger takes the place of the one before, which is archived; with `status="champion"` it is promoted.
    `shipped` marks the model of the repository. Raises ArtifactError when the folder's files don't belong together and
    RegistryError for another status, for a version that can't name a folder, or when another artifact is registered
    under the same version.
    """
    if status not in ("challenger", "champion"):
        raise RegistryError(f"a model can't be registered as {status!r}; use challenger or champion")
    metadata = read_metadata(folder)
    if not _VERSION.fullmatch(metadata.version):
        raise RegistryError(f"model version {metadata.version!r} can't name a folder: use letters, digits, . _ and -")
    with connection.transaction():
        _lock(connection)
        new = _insert(connection, metadata, models / metadata.version, shipped=shipped)
        if status == "champion":
            _give(connection, metadata.version, "champion")
        elif new:
            _give(connection, metadata.version, "challenger")
        _copy(folder, models / metadata.version)
        return find(connection, metadata.version)


def promote(connection: psycopg.Connection[Any], version: str) -> ModelVersion:
    """Makes `version` the champion and archives the one before. Raises RegistryError when it isn't registered."""
    with connection.transaction():
        _lock(connection)
        _give(connection, version, "champion")
        return find(connection, version)


def archive(connection: psycopg.Connection[Any], version: str) -> ModelVersion:
    """Takes a challenger out of the contest. Raises RegistryError for the champion, without which nothing scores."""
    with connection.transaction():
        _lock(connection)
        if find(connection, version).status == "champion":
            raise RegistryError(f"model {version} is the champion: promote another one first")
        connection.execute("UPDATE fraud.model_versions SET status = 'archived' WHERE version = %s", (version,))
        return find(connection, version)


def ensure_pretrained(connection: psycopg.Connection[Any], models: Path, folder: Path = PRETRAINED) -> ModelVersion:
    """Makes the model that ships the champion when there is none, or once in the place of an older one that shipped.

    A champion that was trained here, or that a person took back, stays. Repeating it changes nothing, but for putting
    back a lost or damaged copy.
    """
    shipped = read_metadata(folder)
    with connection.transaction():
        _lock(connection)
        current = champion(connection)
        known = {model.version for model in versions(connection)}
        if current is None or current.version == shipped.version or (current.shipped and shipped.version not in known):
            return register(connection, folder, models, "champion", shipped=True)
        return current


def _insert(connection: psycopg.Connection[Any], metadata: Metadata, target: Path, *, shipped: bool) -> bool:
    """Adds a version, archived at first, or takes over the folder of one that is known. Tells whether it is new."""
    row = connection.execute(
        _INSERT,
        (
            metadata.version,
            stored_path(target),
            metadata.sha256,
            metadata.features,
            metadata.threshold,
            Jsonb(metadata.metrics),
            metadata.trained_at,
            shipped,
        ),
    ).fetchone()
    if row is None:
        raise RegistryError(
            f"model {metadata.version} is registered with another SHA-256 or threshold; give the new one a new version"
        )
    return bool(row[0])


def _give(connection: psycopg.Connection[Any], version: str, status: str) -> None:
    """Gives `version` a status that only one model has, and archives who had it. Raises RegistryError."""
    if find(connection, version).status == status:
        return
    connection.execute("UPDATE fraud.model_versions SET status = 'archived' WHERE status = %s", (status,))
    connection.execute(
        "UPDATE fraud.model_versions SET status = %(status)s, "
        "promoted_at = CASE %(status)s WHEN 'champion' THEN now() ELSE promoted_at END WHERE version = %(version)s",
        {"status": status, "version": version},
    )


def _copy(folder: Path, target: Path) -> None:
    """Makes `target` a copy of `folder`, unless it is one; a reader sees all of it or nothing."""
    if folder.resolve() == target.resolve() or _same_artifact(folder, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        shutil.copytree(folder, fresh, dirs_exist_ok=True)
        fresh.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)  # there only if it was damaged
        fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _same_artifact(folder: Path, target: Path) -> bool:
    try:
        return read_metadata(target).sha256 == read_metadata(folder).sha256
    except ArtifactError:
        return False


def stored_path(folder: Path) -> str:
    """The folder's path as the registry stores it: relative inside the project, so that a moved checkout works."""
    resolved = folder.resolve()
    return resolved.relative_to(PROJECT_DIR).as_posix() if resolved.is_relative_to(PROJECT_DIR) else str(resolved)


def _lock(connection: psycopg.Connection[Any]) -> None:
    """Two promotions at once take turns, until the transaction ends; reading goes on."""
    connection.execute("LOCK TABLE fraud.model_versions IN SHARE ROW EXCLUSIVE MODE")


def _one(connection: psycopg.Connection[Any], query: str, parameters: tuple[str, ...] = ()) -> ModelVersion | None:
    with connection.transaction(), connection.cursor(row_factory=class_row(ModelVersion)) as cursor:
        return cursor.execute(query, parameters).fetchone()
