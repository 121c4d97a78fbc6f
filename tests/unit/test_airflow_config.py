"""Airflow's configuration: lean, on loopback, its secrets in private files only."""

import configparser
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from fraudstream.local import secrets
from fraudstream.local.parts import airflow
from fraudstream.settings import AirflowSettings, PostgresSettings, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(
        var_dir=tmp_path / "with space", airflow=AirflowSettings(port=18080), postgres=PostgresSettings(port=15433)
    )
    secrets.ensure(made)
    return made


def config(settings: Settings) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string(airflow.render_config(settings))
    return parser


def test_everything_is_on_loopback_at_the_chosen_port(settings: Settings) -> None:
    parsed = config(settings)
    assert parsed["api"]["host"] == "127.0.0.1"
    assert parsed["api"]["port"] == "18080"
    assert parsed["core"]["execution_api_server_url"] == "http://127.0.0.1:18080/execution/"


def test_the_database_is_reached_by_pass_file(settings: Settings) -> None:
    for option in ("sql_alchemy_conn", "sql_alchemy_conn_async"):
        url = config(settings)["database"][option]
        assert "airflow@127.0.0.1:15433/airflow?passfile=" in url
        assert "with%20space" in url
        assert secrets.read(settings, "airflow_db") not in url


def test_components_share_their_keys(settings: Settings) -> None:
    parsed = config(settings)
    assert parsed["core"]["fernet_key"] == secrets.read(settings, "airflow_fernet_key")
    assert parsed["api"]["secret_key"] == secrets.read(settings, "airflow_secret_key")
    assert parsed["api_auth"]["jwt_secret"] == secrets.read(settings, "airflow_jwt_secret")


def test_no_secret_is_on_a_command_line_or_in_the_environment(settings: Settings) -> None:
    given = repr([(program.command, dict(program.environment)) for program in airflow.parts(settings)])
    for name in secrets.GENERATORS:
        assert secrets.read(settings, name) not in given


def test_the_four_parts_run_in_airflows_environment(settings: Settings) -> None:
    programs = {program.name: program for program in airflow.parts(settings)}
    assert set(programs) == {"airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"}
    assert {program.command[0] for program in programs.values()} == {str(settings.paths.python("airflow"))}
    assert programs["airflow-api-server"].url == "http://127.0.0.1:18080"


def test_the_administrator_signs_in_with_the_password_of_the_credentials_file(settings: Settings) -> None:
    airflow.write_passwords(settings)
    file = settings.paths.secrets / "airflow_users.json"
    users = json.loads(file.read_text())
    assert users["admin"] == json.loads(settings.paths.credentials.read_text())["airflow"]["password"]
    assert users["viewer"] != users["admin"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_viewers_password_stays(settings: Settings) -> None:
    airflow.write_passwords(settings)
    file = settings.paths.secrets / "airflow_users.json"
    before = json.loads(file.read_text())["viewer"]
    airflow.write_passwords(settings)
    assert json.loads(file.read_text())["viewer"] == before


@pytest.mark.parametrize(
    ("place", "transport"),
    [
        ("/var/log/lineage.json", {"type": "file", "log_file_path": "/var/log/lineage.json", "append": True}),
        ("https://marquez.example:5000", {"type": "http", "url": "https://marquez.example:5000"}),
    ],
)
def test_lineage_is_off_until_it_has_a_place(settings: Settings, place: str, transport: dict[str, object]) -> None:
    assert dict(config(settings)["openlineage"]) == {"disabled": "True"}
    given = settings.model_copy(update={"airflow": AirflowSettings(lineage=place)})
    section = config(given)["openlineage"]
    assert (section["disabled"], json.loads(section["transport"])) == ("False", transport)


def test_lineage_to_nowhere_is_refused() -> None:
    with pytest.raises(ValidationError, match="whole path"):
        AirflowSettings(lineage="lineage.json")
