"""The registry of models in a real PostgreSQL. Needs the fixture `settings`: a server with the schema applied."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest

from fraudstream.settings import Settings
from fraudstream.storage.connect import connect
from model.serving.artifact import METADATA_FILE, ArtifactError, read_metadata
from model.serving.registry import (
    PRETRAINED,
    RegistryError,
    archive,
    challenger,
    champion,
    ensure_pretrained,
    find,
    promote,
    register,
    versions,
)


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection]:
    """An open transaction of the writer with an empty registry, undone after the test."""
    with connect(settings, settings.postgres.admin) as connection:
        connection.execute("DELETE FROM fraud.model_versions; SET ROLE fraud_writer")
        yield connection
        connection.rollback()


def copy_of_pretrained(folder: Path, version: str, later: timedelta = timedelta(0)) -> Path:
    shutil.copytree(PRETRAINED, folder, dirs_exist_ok=True)
    shipped = read_metadata(PRETRAINED)
    changed = msgspec.structs.replace(shipped, version=version, trained_at=shipped.trained_at + later)
    (folder / METADATA_FILE).write_bytes(changed.encode())
    return folder


def statuses(connection: psycopg.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT version, status FROM fraud.model_versions").fetchall())


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Where registered models are kept."""
    return tmp_path / "models"


def test_a_new_platform_gets_the_shipped_model_once(connection: psycopg.Connection, models: Path) -> None:
    assert champion(connection) is None
    first = ensure_pretrained(connection, models)
    shipped = read_metadata(PRETRAINED)
    assert (first.version, first.status, first.artifact) == (shipped.version, "champion", models / shipped.version)
    assert (first.sha256, first.threshold, list(first.features)) == (
        shipped.sha256,
        shipped.threshold,
        shipped.features,
    )
    assert first.shipped
    assert ensure_pretrained(connection, models) == first == champion(connection)
    assert statuses(connection) == {shipped.version: "champion"}


def test_a_pull_with_a_newer_model_does_not_reach_the_champion(
    connection: psycopg.Connection, models: Path, tmp_path: Path
) -> None:
    repository = copy_of_pretrained(tmp_path / "repository", "old")
    old = ensure_pretrained(connection, models, repository)
    copy_of_pretrained(repository, "new", timedelta(days=1))
    assert read_metadata(old.artifact).version == "old"
    assert ensure_pretrained(connection, models, repository).version == "new"
    assert statuses(connection) == {"old": "archived", "new": "champion"}
    promote(connection, "old")
    assert ensure_pretrained(connection, models, repository).version == "old"  # as a person decided


def test_a_lost_copy_is_put_back(connection: psycopg.Connection, models: Path) -> None:
    kept = ensure_pretrained(connection, models)
    (kept.artifact / "model.skops").write_bytes(b"damaged")
    ensure_pretrained(connection, models)
    assert read_metadata(kept.artifact).sha256 == kept.sha256
    assert [path.name for path in models.iterdir()] == [kept.version]


def test_a_champion_that_was_trained_here_stays(connection: psycopg.Connection, models: Path, tmp_path: Path) -> None:
    mine = register(connection, copy_of_pretrained(tmp_path / "a", "mine", -timedelta(days=9)), models, "champion")
    assert ensure_pretrained(connection, models) == mine


def test_promotion_archives_the_champion_and_can_be_taken_back(
    connection: psycopg.Connection, models: Path, tmp_path: Path
) -> None:
    shipped = ensure_pretrained(connection, models)
    trained = register(connection, copy_of_pretrained(tmp_path / "a", "trained"), models)
    assert trained == challenger(connection)
    assert promote(connection, "trained").status == "champion"
    assert find(connection, shipped.version).status == "archived"
    assert challenger(connection) is None
    promote(connection, shipped.version)
    assert statuses(connection) == {shipped.version: "champion", "trained": "archived"}
    assert promote(connection, shipped.version).status == "champion"


def test_a_new_challenger_takes_the_place_of_the_one_before(
    connection: psycopg.Connection, models: Path, tmp_path: Path
) -> None:
    register(connection, copy_of_pretrained(tmp_path / "a", "first"), models)
    register(connection, copy_of_pretrained(tmp_path / "b", "second", timedelta(days=1)), models)
    assert statuses(connection) == {"first": "archived", "second": "challenger"}
    assert [model.version for model in versions(connection)] == ["second", "first"]
    assert archive(connection, "second").status == "archived"
    assert register(connection, tmp_path / "b", models).status == "archived"


def test_what_cannot_be_registered_promoted_or_archived_is_named(
    connection: psycopg.Connection, models: Path, tmp_path: Path
) -> None:
    with pytest.raises(RegistryError, match="nowhere"):
        promote(connection, "nowhere")
    with pytest.raises(RegistryError, match="archived"):
        register(connection, PRETRAINED, models, "archived")
    with pytest.raises(ArtifactError, match=str(tmp_path)):
        register(connection, tmp_path, models)
    with pytest.raises(RegistryError, match=r"'\.\./out' can't name a folder"):
        register(connection, copy_of_pretrained(tmp_path / "a", "../out"), models)
    shipped = ensure_pretrained(connection, models)
    with pytest.raises(RegistryError, match=f"{shipped.version} is the champion"):
        archive(connection, shipped.version)


@pytest.mark.parametrize("change", ["sha256 = 'other'", "threshold = 2"])
def test_another_artifact_under_the_same_version_is_refused(
    connection: psycopg.Connection, models: Path, tmp_path: Path, change: str
) -> None:
    shipped = ensure_pretrained(connection, models)
    connection.execute(f"UPDATE fraud.model_versions SET {change}")
    with pytest.raises(RegistryError, match=shipped.version):
        register(connection, copy_of_pretrained(tmp_path / "a", shipped.version), models)
