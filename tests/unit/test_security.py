"""`doctor --security` without servers: each thing is broken in turn, and found."""

import configparser
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from fraudstream.local import secrets
from fraudstream.local.parts import airflow, kafka, superset
from fraudstream.local.security import database, files, listeners, services, values
from fraudstream.local.security.finding import Finding, Outcome
from fraudstream.local.supervisor import Supervisor
from fraudstream.settings import PostgresSettings, Settings, SupersetSettings
from fraudstream.settings.kafka import KafkaSettings

HOST_RULES = "# initdb's\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
#: Nobody listens there: what would be asked is down.
DOWN = 1


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A platform that is set up, and down: its files as `up` writes them."""
    made = Settings(
        var_dir=tmp_path,
        airflow={"port": DOWN},
        superset=SupersetSettings(port=DOWN),
        postgres=PostgresSettings(port=DOWN),
    )
    secrets.ensure(made)
    for folder in made.paths.private:
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
    superset.prepare(made)
    write(made.paths.airflow / "airflow.cfg", airflow.render_config(made))
    airflow.write_passwords(made)
    write(made.paths.kafka / "server.properties", kafka._properties(made.kafka, made.paths.kafka / "data"))
    write(made.paths.postgres / "pg_hba.conf", HOST_RULES)
    return made


def write(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o600)


def problems(found: Iterator[Finding]) -> list[str]:
    told = list(found)
    assert told
    assert all(finding.fix for finding in told if finding.outcome is not Outcome.OK)
    return [finding.told for finding in told if finding.outcome is Outcome.FAILED]


def outcomes(found: Iterator[Finding]) -> set[Outcome]:
    return {finding.outcome for finding in found}


CHECKS: dict[str, Callable[[Settings], Iterator[Finding]]] = {
    "files": files.check,
    "secrets": values.check,
    "kafka": services.check_kafka,
    "airflow": services.check_airflow,
    "superset": services.check_superset,
    "postgres access": database.check_access,
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_platform_as_up_makes_it_has_no_failure(settings: Settings, name: str) -> None:
    found = list(CHECKS[name](settings))
    assert Outcome.OK in outcomes(iter(found)), found
    assert problems(iter(found)) == []


@pytest.mark.parametrize("name", CHECKS)
def test_before_the_first_up_it_says_what_it_could_not_look_at(tmp_path: Path, name: str) -> None:
    assert outcomes(CHECKS[name](Settings(var_dir=tmp_path))) == {Outcome.UNCHECKED}


def test_what_is_down_is_told_and_no_failure(settings: Settings) -> None:
    assert outcomes(listeners.check(settings)) == {Outcome.UNCHECKED}
    assert outcomes(database.check_roles(settings)) == {Outcome.UNCHECKED}
    assert any("Airflow doesn't answer" in finding.told for finding in services.check_airflow(settings))


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "secrets/fraud_writer",
        "secrets/pgpass",
        "secrets/airflow_users.json",
        "airflow/airflow.cfg",
        "superset/viewer_password",
        "kafka/server.properties",
        "postgres/pg_hba.conf",
    ],
)
def test_a_file_that_others_can_read_is_named_with_its_mode(settings: Settings, name: str) -> None:
    file = settings.paths.var / name
    file.chmod(0o640)
    assert problems(files.check(settings)) == [f"{file} has mode 0640: others can read or change it"]


@pytest.mark.parametrize("name", ["secrets", "run", "stream", "kafka", "postgres", "airflow", "logs"])
def test_a_folder_that_others_can_enter_is_named(settings: Settings, name: str) -> None:
    folder = settings.paths.var / name
    folder.chmod(0o755)
    assert problems(files.check(settings)) == [f"{folder} has mode 0755: others can read or change it"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_secret_of_another_user_is_named(settings: Settings) -> None:
    os.chown(settings.paths.secrets / "fraud_writer", 12345, -1)
    [told] = problems(files.check(settings))
    assert "fraud_writer belongs to user 12345" in told


def test_a_folder_that_everybody_can_write_is_named(settings: Settings) -> None:
    settings.paths.var.chmod(0o777)
    assert problems(files.check(settings)) == [
        f"{settings.paths.var} can be changed by everybody, who then run what they like"
    ]


@pytest.mark.parametrize(("content", "counts"), [("FRAUDSTREAM_KAFKA__SASL_PASSWORD=x", True), ("A=1", False)])
def test_an_environment_file_counts_when_it_holds_a_secret(
    settings: Settings, tmp_path: Path, content: str, counts: bool
) -> None:
    settings.paths.project = tmp_path
    (tmp_path / "fraudstream.env").write_text(content)
    (tmp_path / "fraudstream.env").chmod(0o644)
    assert any("fraudstream.env" in told for told in problems(files.check(settings))) == counts


# --- secrets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "is empty"),
        ("admin", "is a default or an example, or little more"),
        ("Postgres", "is a default or an example, or little more"),
        ("fraudstream-123456", "is a default or an example, or little more"),
        ("CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET", "is a default or an example, or little more"),
        ("thisISaSECRET_1234", "is a default or an example, or little more"),
        ("temporary_key", "is a default or an example, or little more"),
        ("k8Fz!q", "has 6 characters, fewer than 12"),
        ("ababababababababab", "repeats few characters"),
    ],
)
def test_a_weak_secret_is_found_in_its_file(settings: Settings, value: str, why: str) -> None:
    file = settings.paths.secrets / "fraud_reader"
    file.write_text(value)
    assert problems(values.check(settings)) == [f"{file} {why}"]


def test_a_weak_password_given_in_the_settings_is_named_and_not_shown(settings: Settings) -> None:
    given = settings.model_copy(update={"postgres": PostgresSettings(host="db", admin_password=SecretStr("hunter2"))})
    [told] = problems(values.check(given))
    assert told.startswith("FRAUDSTREAM_POSTGRES__ADMIN_PASSWORD has 7 characters")
    assert not [finding for finding in values.check(given) if "hunter2" in finding.told + finding.fix]


def test_a_secret_used_twice_is_named(settings: Settings) -> None:
    folder = settings.paths.secrets
    (folder / "fraud_reader").write_text((folder / "fraud_writer").read_text())
    [told] = problems(values.check(settings))
    assert "fraud_writer and" in told
    assert "fraud_reader are the same" in told


@pytest.mark.parametrize("name", secrets.GENERATORS)
def test_generated_secrets_are_never_called_weak(name: str) -> None:
    assert {values.weakness(secrets.GENERATORS[name]()) for _ in range(300)} == {""}


def test_a_secret_on_a_command_line_is_named_with_its_process_and_not_shown(settings: Settings) -> None:
    secret = secrets.read(settings, "fraud_writer")
    with subprocess.Popen([sys.executable, "-c", "input()", secret], stdin=subprocess.PIPE) as process:
        [told] = problems(values.check_command_lines(settings))
        process.communicate(b"\n")
    assert f"(pid {process.pid})" in told
    assert "fraud_writer stands on the command line" in told
    assert secret not in told
    assert problems(values.check_command_lines(settings)) == []


# --- listeners ----------------------------------------------------------------------------------------------------


@contextmanager
def listening(settings: Settings, host: str) -> Iterator[int]:
    """A process of the platform's, as supervisord marks it, that listens there; its port."""
    program = f"import socket; s = socket.create_server(('{host}', 0)); print(s.getsockname()[1], flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"SUPERVISOR_SERVER_URL": Supervisor(settings).server_url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        yield int(process.stdout.readline())
        process.communicate("\n")


def test_a_listener_on_all_interfaces_is_named_with_pid_and_port(settings: Settings) -> None:
    with listening(settings, "0.0.0.0") as port:  # noqa: S104 (what is to be found)
        [told] = problems(listeners.check(settings))
    assert f"listens on 0.0.0.0:{port}" in told
    assert "(pid " in told


def test_a_listener_on_loopback_is_fine(settings: Settings) -> None:
    with listening(settings, "127.0.0.1"):
        assert outcomes(listeners.check(settings)) == {Outcome.OK}


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.0.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 (what is to be found)
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False),
        ("kafka.internal", False),
        ("", False),
    ],
)
def test_only_loopback_counts_as_this_machine(host: str, local: bool) -> None:
    assert listeners.is_loopback(host) == local


# --- Kafka, Airflow, Superset, PostgreSQL ---------------------------------------------------------------------------


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


# --- the command --------------------------------------------------------------------------------------------------


def doctor(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FRAUDSTREAM_")}
    environment |= {
        "FRAUDSTREAM_VAR_DIR": str(settings.paths.var),
        "FRAUDSTREAM_AIRFLOW__PORT": str(DOWN),
        "FRAUDSTREAM_SUPERSET__PORT": str(DOWN),
        "FRAUDSTREAM_POSTGRES__PORT": str(DOWN),
    }
    command = [sys.executable, "-m", "fraudstream.cli", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_the_command_says_each_check_and_fails_for_a_failure(settings: Settings) -> None:
    done = doctor(settings, "--security")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("Nothing is open that should be closed.\n")
    settings.paths.pgpass.chmod(0o644)
    again = doctor(settings, "--security", "--json")
    assert again.returncode == 1
    told = json.loads(again.stdout)
    assert not told["secure"]
    [failure] = [finding for finding in told["findings"] if finding["outcome"] == "failed"]
    assert failure["check"] == "files"
    assert failure["fix"].startswith("chmod 600 ")


def test_json_is_for_security_only(settings: Settings) -> None:
    done = doctor(settings, "--json")
    assert done.returncode == 1
    assert "--security --json" in done.stderr
