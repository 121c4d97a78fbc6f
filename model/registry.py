"""The registry of models, table fraud.model_versions: which is the champion, and where its artifact lies.

Needs no scikit-learn: it also runs where nothing is scored. Every function is a transaction of its own, or a part of
the caller's when one is open.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from fraudstream.errors import FraudstreamError
from fraudstream.settings import PROJECT_DIR
from model.artifact import Metadata, read_metadata

PRETRAINED = PROJECT_DIR / "model" / "pretrained"


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "artifact", PROJECT_DIR / self.artifact)  # an absolute path stays as it is
        object.__setattr__(self, "features", tuple(self.features))


_COLUMNS = "version, status, artifact, sha256, features, threshold, metrics, trained_at"
_SELECT = f"SELECT {_COLUMNS} FROM fraud.model_versions"  # noqa: S608 (a constant)
_INSERT = (
    f"INSERT INTO fraud.model_versions ({_COLUMNS}) "  # noqa: S608 (a constant)
    "VALUES (%s, 'challenger', %s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (version) DO UPDATE SET artifact = excluded.artifact "
    "WHERE model_versions.sha256 = excluded.sha256 RETURNING version"
)


def champion(connection: psycopg.Connection[Any]) -> ModelVersion | None:
    """The model that scores, or None when there is none yet."""
    return _one(connection, f"{_SELECT} WHERE status = 'champion'")


def find(connection: psycopg.Connection[Any], version: str) -> ModelVersion:
    """The model `version`. Raises RegistryError when it isn't registered."""
    found = _one(connection, f"{_SELECT} WHERE version = %s", (version,))
    if found is None:
        raise RegistryError(f"model {version} isn't registered; register its folder first")
    return found


def register(connection: psycopg.Connection[Any], folder: Path, status: str = "challenger") -> ModelVersion:
    """Registers the model in `folder`, or takes over the folder of a version that is registered already.

    With `status="champion"` it is promoted too. Raises ArtifactError when the folder's files don't belong together and
    RegistryError for another status, or when another artifact is registered under the same version.
    """
    if status not in ("challenger", "champion"):
        raise RegistryError(f"a model can't be registered as {status!r}; use challenger or champion")
    metadata = read_metadata(folder)
    with connection.transaction():
        _insert(connection, metadata, folder)
        if status == "champion":
            _make_champion(connection, metadata.version)
        return find(connection, metadata.version)


def promote(connection: psycopg.Connection[Any], version: str) -> ModelVersion:
    """Makes `version` the champion and archives the one before. Raises RegistryError when it isn't registered."""
    with connection.transaction():
        _make_champion(connection, version)
        return find(connection, version)


def ensure_pretrained(connection: psycopg.Connection[Any], folder: Path = PRETRAINED) -> ModelVersion:
    """Makes the model that ships the champion when there is none, or when the champion is an older one that shipped.

    A champion that was trained here stays. Repeating it changes nothing.
    """
    shipped = read_metadata(folder)
    with connection.transaction():
        _lock(connection)
        current = champion(connection)
        if current is None or (current.artifact == folder.resolve() and current.trained_at < shipped.trained_at):
            return register(connection, folder, "champion")
        return current


def _insert(connection: psycopg.Connection[Any], metadata: Metadata, folder: Path) -> None:
    """A new version begins as challenger; one that exists keeps its status and takes over the folder."""
    row = connection.execute(
        _INSERT,
        (
            metadata.version,
            stored_path(folder),
            metadata.sha256,
            metadata.features,
            metadata.threshold,
            Jsonb(metadata.metrics),
            metadata.trained_at,
        ),
    ).fetchone()
    if row is None:
        raise RegistryError(
            f"model {metadata.version} is registered with another SHA-256; give the new one a new version"
        )


def _make_champion(connection: psycopg.Connection[Any], version: str) -> None:
    _lock(connection)
    connection.execute(
        "UPDATE fraud.model_versions SET status = 'archived' WHERE status = 'champion' AND version <> %s", (version,)
    )
    promoted = connection.execute(
        "UPDATE fraud.model_versions SET status = 'champion', promoted_at = now() "
        "WHERE version = %s AND status <> 'champion'",
        (version,),
    )
    if not promoted.rowcount:
        find(connection, version)


def stored_path(folder: Path) -> str:
    """How a folder is stored: relative inside the project, so that a moved checkout works."""
    resolved = folder.resolve()
    return resolved.relative_to(PROJECT_DIR).as_posix() if resolved.is_relative_to(PROJECT_DIR) else str(resolved)


def _lock(connection: psycopg.Connection[Any]) -> None:
    """Two promotions at once take turns, until the transaction ends; reading goes on."""
    connection.execute("LOCK TABLE fraud.model_versions IN SHARE ROW EXCLUSIVE MODE")


def _one(connection: psycopg.Connection[Any], query: str, parameters: tuple[str, ...] = ()) -> ModelVersion | None:
    with connection.transaction(), connection.cursor(row_factory=class_row(ModelVersion)) as cursor:
        return cursor.execute(query, parameters).fetchone()
