"""What `fraudstream.local.parts.superset` writes is what Superset's side reads, and holds no secret."""

import importlib
import json
import stat
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from fraudstream.local import secrets, up
from fraudstream.local.parts import superset
from fraudstream.settings import PROJECT_DIR, Settings, SupersetSettings

sys.path.insert(0, str(PROJECT_DIR / "superset"))
runtime_file = importlib.import_module("runtime_file")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(var_dir=tmp_path, superset=SupersetSettings(port=18088))
    secrets.ensure(settings)
    superset.prepare(settings)
    return settings


def test_superset_reads_what_prepare_wrote(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    program = superset.parts(settings)[0]
    monkeypatch.setenv(runtime_file.VARIABLE, program.environment[runtime_file.VARIABLE])
    runtime = runtime_file.load()
    assert runtime.port == 18088
    assert runtime.charts_uri == settings.dsn("fraud_charts", driver="+psycopg2")
    assert runtime.desk_uri == settings.dsn("fraud_desk", driver="+psycopg2")
    assert runtime_file.secret(runtime.admin_password_file) == secrets.read(settings, "superset_admin")
    assert runtime_file.secret(runtime.secret_key_file) == secrets.read(settings, "superset_secret_key")
    assert asdict(runtime) == json.loads((settings.paths.superset / "runtime.json").read_text())


def test_no_secret_leaves_its_file(settings: Settings) -> None:
    program = superset.parts(settings)[0]
    visible = " ".join(program.command) + repr(program.environment)
    visible += (settings.paths.superset / "runtime.json").read_text()
    kept = [secrets.read(settings, name) for name in secrets.GENERATORS]
    kept += [superset.password_file(settings, user).read_text() for user in (superset.VIEWER, superset.ANALYST)]
    assert [secret for secret in kept if secret in visible] == []


def test_files_are_for_their_owner_only(settings: Settings) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in settings.paths.superset.iterdir()}
    assert modes == {"runtime.json": 0o600, "viewer_password": 0o600, "analyst_password": 0o600}


def test_the_viewers_password_stays(settings: Settings) -> None:
    before = (settings.paths.superset / "viewer_password").read_text()
    superset.prepare(settings)
    assert (settings.paths.superset / "viewer_password").read_text() == before


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(runtime_file.VARIABLE, raising=False)
    with pytest.raises(RuntimeError, match=r"SUPERSET_RUNTIME_FILE isn't set: start Superset with \./fraudctl up"):
        runtime_file.load()


def test_a_server_that_does_not_answer_is_named(settings: Settings) -> None:
    expected = r"http://127\.0\.0\.1:18088/health after 0 s\. .*gives way .*superset\.log; \./fraudctl up"
    with pytest.raises(superset.SupersetUnavailableError, match=expected):
        superset.wait_healthy(settings, seconds=0)


def test_superset_has_as_long_as_what_it_gives_way_to() -> None:
    assert superset.parts(Settings())[0].niceness > 0
    assert superset.HEALTHY_SECONDS >= up.SCORED_SECONDS
