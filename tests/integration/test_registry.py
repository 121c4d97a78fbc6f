"""The registry of models in a real PostgreSQL. Needs the fixture `settings`: a server with the schema applied."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest

from fraudstream.settings import Settings
from model.artifact import METADATA_FILE, ArtifactError, read_metadata
from model.registry import PRETRAINED, RegistryError, champion, ensure_pretrained, find, promote, register


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection]:
    """An open transaction with an empty registry, undone after the test."""
    with psycopg.connect(settings.writer_dsn) as connection:
        connection.execute("DELETE FROM fraud.model_versions")
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


def test_a_new_platform_gets_the_shipped_model_once(connection: psycopg.Connection) -> None:
    assert champion(connection) is None
    first = ensure_pretrained(connection)
    shipped = read_metadata(PRETRAINED)
    assert (first.version, first.status, first.artifact) == (shipped.version, "champion", PRETRAINED)
    assert (first.sha256, first.threshold, list(first.features)) == (
        shipped.sha256,
        shipped.threshold,
        shipped.features,
    )
    assert ensure_pretrained(connection) == first == champion(connection)
    assert statuses(connection) == {shipped.version: "champion"}


def test_a_newer_shipped_model_replaces_an_older_shipped_one(connection: psycopg.Connection, tmp_path: Path) -> None:
    ensure_pretrained(connection, copy_of_pretrained(tmp_path, "old"))
    ensure_pretrained(connection, copy_of_pretrained(tmp_path, "older", -timedelta(days=1)))
    assert statuses(connection) == {"old": "champion"}
    ensure_pretrained(connection, copy_of_pretrained(tmp_path, "new", timedelta(days=1)))
    assert statuses(connection) == {"old": "archived", "new": "champion"}


def test_a_champion_that_was_trained_here_stays(connection: psycopg.Connection, tmp_path: Path) -> None:
    mine = register(connection, copy_of_pretrained(tmp_path, "mine", -timedelta(days=9)), "champion")
    assert ensure_pretrained(connection) == mine


def test_promotion_archives_the_champion_and_can_be_taken_back(connection: psycopg.Connection, tmp_path: Path) -> None:
    shipped = ensure_pretrained(connection)
    challenger = register(connection, copy_of_pretrained(tmp_path, "challenger"))
    assert challenger.status == "challenger"
    assert promote(connection, "challenger").status == "champion"
    assert find(connection, shipped.version).status == "archived"
    promote(connection, shipped.version)
    assert statuses(connection) == {shipped.version: "champion", "challenger": "archived"}
    assert promote(connection, shipped.version).status == "champion"


def test_registering_again_keeps_the_status(connection: psycopg.Connection) -> None:
    ensure_pretrained(connection)
    assert register(connection, PRETRAINED).status == "champion"


def test_what_cannot_be_registered_or_promoted_is_named(connection: psycopg.Connection, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="nowhere"):
        promote(connection, "nowhere")
    with pytest.raises(RegistryError, match="archived"):
        register(connection, PRETRAINED, "archived")
    with pytest.raises(ArtifactError, match=str(tmp_path)):
        register(connection, tmp_path)


def test_another_artifact_under_the_same_version_is_refused(connection: psycopg.Connection, tmp_path: Path) -> None:
    shipped = ensure_pretrained(connection)
    connection.execute("UPDATE fraud.model_versions SET sha256 = 'other'")
    with pytest.raises(RegistryError, match=shipped.version):
        register(connection, copy_of_pretrained(tmp_path, shipped.version))
