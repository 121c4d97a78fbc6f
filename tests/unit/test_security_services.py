"""`doctor --security` without servers: what opens Kafka, Airflow, Superset or PostgreSQL is found."""

import configparser
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from fraudstream.local.security import database, services
from fraudstream.local.security.finding import Outcome
from fraudstream.settings import Settings, SupersetSettings
from fraudstream.settings.kafka import KafkaSettings
from tests.findings import DOWN, HOST_RULES, outcomes, problems, set_up, write


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return set_up(tmp_path)


@pytest.mark.parametrize("address", ["PLAINTEXT://0.0.0.0:9092", "PLAINTEXT://:9092", "PLAINTEXT://10.0.0.7:9092"])
def test_an_embedded_broker_that_others_reach_is_named(settings: Settings, address: str) -> None:
    write(settings.paths.kafka / "server.properties", f"listeners={address}\n")
    [told] = problems(services.check_kafka(settings))
    assert address in told


@pytest.mark.parametrize(
    ("bootstrap", "protocol", "outcome"),
    [
        ("kafka-1:9092,127.0.0.1:9092", "PLAINTEXT", Outcome.WARNING),
        ("kafka-1:9092", "SASL_PLAINTEXT", Outcome.WARNING),
        ("kafka-1:9093", "SASL_SSL", Outcome.OK),
        ("kafka-1:9093", "SSL", Outcome.OK),
        ("127.0.0.1:9092,[::1]:9092", "PLAINTEXT", Outcome.OK),
    ],
)
def test_plain_text_to_another_machine_is_a_warning(
    settings: Settings, bootstrap: str, protocol: str, outcome: Outcome
) -> None:
    given = KafkaSettings(
        bootstrap_servers=bootstrap,
        security_protocol=protocol,
        sasl_username="u",
        sasl_password=SecretStr("p"),
    )
    found = settings.model_copy(update={"kafka": given})
    assert outcomes(services.check_kafka(found)) == {outcome}


@pytest.mark.parametrize(
    ("section", "option", "value"),
    [
        ("core", "fernet_key", ""),
        ("api", "secret_key", "temporary_key"),
        ("api_auth", "jwt_secret", "airflow"),
        ("core", "simple_auth_manager_all_admins", "True"),
        ("core", "test_connection", "Enabled"),
        ("api", "expose_config", "True"),
        ("api", "host", "0.0.0.0"),  # noqa: S104 (what is to be found)
    ],
)
def test_what_opens_airflow_is_named(settings: Settings, section: str, option: str, value: str) -> None:
    file = settings.paths.airflow / "airflow.cfg"
    config = configparser.ConfigParser(interpolation=None)
    config.read(file)
    config[section][option] = value
    with file.open("w") as output:
        config.write(output)
    [told] = problems(services.check_airflow(settings))
    assert f"{section}.{option}" in told


def test_a_weak_password_of_airflow_is_named(settings: Settings) -> None:
    write(settings.paths.secrets / "airflow_users.json", json.dumps({"admin": "admin"}))
    [told] = problems(services.check_airflow(settings))
    assert told.startswith("the password of admin in")


def test_supersets_default_key_is_named(settings: Settings) -> None:
    write(settings.paths.secrets / "superset_secret_key", "CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET")
    [told] = problems(services.check_superset(settings))
    assert told.startswith("Superset's SECRET_KEY")


def test_dashboards_without_sign_in_are_named_as_the_settings_want_it(settings: Settings) -> None:
    opened = settings.model_copy(update={"superset": SupersetSettings(port=DOWN, anonymous=True)})
    assert Outcome.WARNING in outcomes(services.check_superset(opened))


@contextmanager
def answering(status: str, body: str) -> Iterator[int]:
    """A server that answers every request so; its port."""
    program = (
        "import http.server, sys\n"
        "class Answer(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        f"        self.send_response({status}); self.end_headers(); self.wfile.write({body.encode()!r})\n"
        "server = http.server.HTTPServer(('127.0.0.1', 0), Answer)\n"
        "print(server.server_port, flush=True)\n"
        "server.serve_forever()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        yield int(process.stdout.readline())
        process.terminate()


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        ("401", "", Outcome.OK),
        ("200", '{"result": []}', Outcome.OK),
        ("200", '{"result": [{"dashboard_title": "Fraud monitor"}]}', Outcome.FAILED),
        ("502", "", Outcome.UNCHECKED),
    ],
)
def test_superset_must_show_nothing_without_sign_in(
    settings: Settings, status: str, body: str, outcome: Outcome
) -> None:
    with answering(status, body) as port:
        found = settings.model_copy(update={"superset": SupersetSettings(port=port)})
        assert outcomes(services.check_superset(found)) == {Outcome.OK, outcome}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("host all all 127.0.0.1/32 trust", "lets in by 'trust'"),
        ("local all all peer", "lets in by 'peer'"),
        ("host all all 127.0.0.1/32 md5", "lets in by 'md5'"),
        ("host all all 0.0.0.0/0 scram-sha-256", "lets in other machines"),
    ],
)
def test_a_rule_that_lets_in_more_is_named(settings: Settings, rule: str, said: str) -> None:
    write(settings.paths.postgres / "pg_hba.conf", HOST_RULES + rule + "\n")
    [told] = problems(database.check_access(settings))
    assert said in told
    assert rule in told
