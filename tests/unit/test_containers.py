"""A container's secrets and health check."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fraudstream.containers import health
from fraudstream.containers.secrets import NAMES, ExampleSecretError, check, install, spark_properties_file, variable
from fraudstream.local.parts import airflow, superset
from fraudstream.settings import PROJECT_DIR, Settings


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    file = tmp_path / ".env"
    shutil.copy(PROJECT_DIR / ".env.example", file)
    return file


def generate(file: Path) -> dict[str, str]:
    subprocess.run([PROJECT_DIR / "deploy" / "generate-secrets", file], check=True)
    return read(file)


def read(file: Path) -> dict[str, str]:
    lines = (line for line in file.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def mounted(values: dict[str, str], folder: Path) -> Path:
    """The secrets as an engine mounts them."""
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(values[variable(name)])
    return folder


def test_generated_secrets_are_accepted(env_file: Path, tmp_path: Path) -> None:
    check(mounted(generate(env_file), tmp_path / "given"))


def test_generating_changes_nothing_that_is_set_and_closes_the_file(env_file: Path) -> None:
    env_file.write_text(env_file.read_text().replace("FRAUD_READER_PASSWORD=change-me", "FRAUD_READER_PASSWORD=mine"))
    first = generate(env_file)
    assert first["FRAUD_READER_PASSWORD"] == "mine"
    assert generate(env_file) == first
    assert env_file.stat().st_mode & 0o777 == 0o600
    assert "change-me" not in first.values()


def test_generating_adds_what_the_env_of_an_older_version_lacks(env_file: Path, tmp_path: Path) -> None:
    first = generate(env_file)
    newer = {"FRAUD_CHARTS_PASSWORD", "SPARK_SECRET"}
    left = [f"{name}={value}" for name, value in first.items() if name not in newer]
    env_file.write_text("\n".join(left))  # without a line break at its end
    again = generate(env_file)
    assert {name for name in first if again[name] != first[name]} == newer
    check(mounted(again, tmp_path / "given"))


def test_the_examples_are_refused_each_by_its_name_and_with_the_remedy(env_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ExampleSecretError) as refused:
        check(mounted(read(env_file), tmp_path / "given"))
    told = str(refused.value)
    assert [name for name in NAMES if f"{variable(name)} is a default or an example" not in told] == []
    assert "deploy/generate-secrets .env" in told


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("fraud_writer", "", "FRAUD_WRITER_PASSWORD is empty"),
        ("airflow_fernet_key", "uS3d-as_a-key_but.not-base64!", "AIRFLOW_FERNET_KEY is not 32 bytes"),
        ("airflow_jwt_secret", "aaaaaaaaaaaaaaaaaaaa", "AIRFLOW_JWT_SECRET repeats few characters"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named(env_file: Path, tmp_path: Path, name: str, value: str, why: str) -> None:
    values = generate(env_file) | {variable(name): value}
    with pytest.raises(ExampleSecretError, match=why) as refused:
        check(mounted(values, tmp_path / "given"))
    assert str(refused.value).count("\n  - ") == 1
    assert not value or value not in str(refused.value)


def test_one_password_for_two_is_refused(env_file: Path, tmp_path: Path) -> None:
    values = generate(env_file)
    values["AIRFLOW_DB_PASSWORD"] = values["SUPERSET_DB_PASSWORD"]
    with pytest.raises(ExampleSecretError, match="AIRFLOW_DB_PASSWORD and SUPERSET_DB_PASSWORD are the same"):
        check(mounted(values, tmp_path / "given"))


def test_a_container_has_the_passwords_that_it_was_given_and_no_other(env_file: Path, tmp_path: Path) -> None:
    values = generate(env_file)
    given = mounted(values, tmp_path / "given")
    for name in set(NAMES) - {"fraud_charts", "superset_db", "superset_viewer"}:
        (given / name).unlink()
    settings = Settings(var_dir=tmp_path / "var")
    install(settings, given)
    lines = settings.paths.pgpass.read_text().splitlines()
    assert sorted(line.split(":")[3] for line in lines) == ["fraud_charts", "superset"]
    assert values["FRAUD_CHARTS_PASSWORD"] in settings.paths.pgpass.read_text()
    assert superset.password_file(settings, superset.VIEWER).read_text() == values["SUPERSET_VIEWER_PASSWORD"]
    files = list(settings.paths.secrets.iterdir())
    assert {path.name for path in files} == {"fraud_charts", "superset_db", "pgpass"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_the_viewers_password_is_the_given_one(env_file: Path, tmp_path: Path) -> None:
    values = generate(env_file)
    settings = Settings(var_dir=tmp_path / "var")
    install(settings, mounted(values, tmp_path / "given"))
    airflow.write_passwords(settings)
    users = json.loads(airflow.passwords_file(settings).read_text())
    assert users == {"admin": values["AIRFLOW_ADMIN_PASSWORD"], "viewer": values["AIRFLOW_VIEWER_PASSWORD"]}


def test_the_parts_of_spark_know_each_other_by_the_given_secret(env_file: Path, tmp_path: Path) -> None:
    values = generate(env_file)
    settings = Settings(var_dir=tmp_path / "var")
    install(settings, mounted(values, tmp_path / "given"))
    properties = dict(line.split(" ") for line in spark_properties_file(settings).read_text().splitlines())
    assert properties["spark.authenticate"] == "true"
    assert properties["spark.authenticate.secret"] == values["SPARK_SECRET"]
    assert spark_properties_file(settings).stat().st_mode & 0o777 == 0o600


@pytest.fixture
def report() -> Iterator[str]:
    """A server that reports like Airflow's."""

    class Report(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            states = {"scheduler": {"status": "healthy"}, "triggerer": {"status": "unhealthy"}, "dag_processor": None}
            self.wfile.write(json.dumps(states).encode())

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Report)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_a_component_is_as_healthy_as_the_report_says(report: str) -> None:
    assert health.problems(report, []) == []
    assert health.problems(report, ["scheduler"]) == []
    assert health.problems(report, ["scheduler", "triggerer"]) == ["triggerer is unhealthy"]
    assert health.problems(report, ["dag_processor"]) == ["dag_processor is None"]


def test_what_does_not_answer_is_not_healthy() -> None:
    assert health.problems("http://127.0.0.1:1/health", [], seconds=1)[0].startswith("http://127.0.0.1:1/health: ")
