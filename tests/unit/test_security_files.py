"""`doctor --security` without servers: files, secrets and listeners are broken in turn, and found."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from fraudstream.local import secrets
from fraudstream.local.security import files, listeners, values
from fraudstream.local.security.finding import Outcome
from fraudstream.local.supervisor import Supervisor
from fraudstream.settings import PostgresSettings, Settings
from tests.findings import outcomes, problems, set_up


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return set_up(tmp_path)


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "secrets/fraud_writer",
        "secrets/pgpass",
        "secrets/airflow_users.json",
        "airflow/airflow.cfg",
        "superset/viewer_password",
        "superset/analyst_password",
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
