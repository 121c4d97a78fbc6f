"""Secrets: made once, readable by their owner only, and in the pass file as libpq reads it."""

import json
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from fraudstream.local import secrets
from fraudstream.settings import PostgresSettings, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(var_dir=tmp_path)


def test_every_file_is_private(settings: Settings) -> None:
    secrets.ensure(settings)
    assert stat.S_IMODE(settings.paths.secrets.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in settings.paths.secrets.iterdir()}
    assert set(modes) == {*secrets.GENERATORS, "pgpass", "credentials.json"}
    assert set(modes.values()) == {0o600}


def test_a_second_run_keeps_every_secret(settings: Settings) -> None:
    secrets.ensure(settings)
    before = {path.name: path.read_text() for path in settings.paths.secrets.iterdir()}
    secrets.ensure(settings)
    assert {path.name: path.read_text() for path in settings.paths.secrets.iterdir()} == before
    assert len(set(before.values())) == len(before)


def test_a_file_that_others_could_read_is_closed_again(settings: Settings) -> None:
    secrets.ensure(settings)
    settings.paths.pgpass.chmod(0o644)
    secrets.ensure(settings)
    assert stat.S_IMODE(settings.paths.pgpass.stat().st_mode) == 0o600


def test_reading_before_the_first_run_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(secrets.SecretMissingError, match="fraudctl up"):
        secrets.read(settings, "fraud_writer")


def test_pass_file_escapes_what_libpq_would_split_at(tmp_path: Path) -> None:
    own = PostgresSettings(host="db.example", port=5432, admin_password=SecretStr("a:b\\c"))
    settings = Settings(var_dir=tmp_path, postgres=own)
    secrets.ensure(settings)
    assert settings.paths.pgpass.read_text().splitlines()[0] == "db.example:5432:*:postgres:a\\:b\\\\c"


def test_credentials_are_those_of_the_web_interfaces(settings: Settings) -> None:
    secrets.ensure(settings)
    assert json.loads(settings.paths.credentials.read_text()) == {
        web: {"username": "admin", "password": secrets.read(settings, f"{web}_admin")}
        for web in ("airflow", "superset")
    }
