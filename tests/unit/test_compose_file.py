"""docker-compose.yaml keeps what docs/containers.md promises of every service."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from fraudstream.containers.secrets import NAMES, variable
from fraudstream.settings import PROJECT_DIR, Settings

FILE: dict[str, Any] = yaml.safe_load((PROJECT_DIR / "docker-compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
EXAMPLE = PROJECT_DIR / ".env.example"
CONTAINERS = PROJECT_DIR / "docs" / "containers.md"
SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|FERNET|_KEY$")

every_service = pytest.mark.parametrize("name", sorted(SERVICES))


def is_one_shot(service: dict[str, Any]) -> bool:
    return bool(service["restart"] == "no")


def mebibytes(text: str) -> int:
    return int(text[:-1]) * {"m": 1, "g": 1024}[text[-1]]


def example() -> dict[str, str]:
    lines = (line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


@every_service
def test_it_has_a_health_check_or_ends_by_itself(name: str) -> None:
    assert is_one_shot(SERVICES[name]) != ("healthcheck" in SERVICES[name])


@every_service
def test_its_memory_is_limited(name: str) -> None:
    assert mebibytes(SERVICES[name]["mem_limit"]) <= 4096


def test_without_the_cluster_the_limits_fit_into_12_gib() -> None:
    running = [service for service in SERVICES.values() if not service.get("profiles") and not is_one_shot(service)]
    assert sum(mebibytes(service["mem_limit"]) for service in running) <= 12 * 1024


@every_service
def test_it_runs_as_an_ordinary_user_without_capabilities(name: str) -> None:
    assert SERVICES[name]["user"] not in ("root", "0", "0:0")
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert not SERVICES[name].get("privileged")


@every_service
def test_it_is_published_on_loopback_only(name: str) -> None:
    assert [port for port in SERVICES[name].get("ports", []) if not port.startswith("127.0.0.1:")] == []
    assert SERVICES[name].get("network_mode") in (None, "none")


@every_service
def test_its_environment_and_command_hold_no_secret(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    literal = {key: value for key, value in environment.items() if SECRET_NAME.search(key)}
    assert [key for key, value in literal.items() if not value.startswith("/run/secrets/")] == []
    shown = str(SERVICES[name].get("command", "")) + str(environment)
    assert [secret for secret in NAMES if "${" + variable(secret) in shown] == []


@every_service
def test_what_it_depends_on_has_a_condition_that_can_come_true(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        condition = how["condition"]
        if condition == "service_completed_successfully":
            assert is_one_shot(SERVICES[other]), other
        else:
            assert condition == "service_healthy"
            assert "healthcheck" in SERVICES[other], other


def test_everything_waits_for_the_check_of_the_secrets() -> None:
    def waits_for(name: str) -> set[str]:
        direct = set(SERVICES[name].get("depends_on", {}))
        return direct.union(*(waits_for(other) for other in direct))

    others = set(SERVICES) - {"secrets-check"}
    assert [name for name in sorted(others) if "secrets-check" not in waits_for(name)] == []


def test_every_secret_is_checked_comes_from_env_and_is_open_in_the_example() -> None:
    declared = {name: source for name, source in FILE["secrets"].items() if name != "pip_conf"}
    assert declared == {name: {"environment": variable(name)} for name in NAMES}
    assert sorted(SERVICES["secrets-check"]["secrets"]) == sorted(NAMES)
    assert {name for name, value in example().items() if value == "change-me"} == {variable(name) for name in NAMES}


def test_only_what_makes_roles_gets_the_administrators_password() -> None:
    holders = {name for name, service in SERVICES.items() if "postgres_admin" in service.get("secrets", [])}
    assert holders == {"secrets-check", "postgres", "init"}


def test_the_scheduler_has_the_password_of_each_database_that_retention_prunes() -> None:
    assert {"fraud_writer", "airflow_db", "superset_db"} <= set(SERVICES["airflow-scheduler"]["secrets"])


def test_the_triggerer_can_open_the_incident_of_a_missed_deadline() -> None:
    assert "fraud_writer" in SERVICES["airflow-triggerer"]["secrets"]


def test_only_what_looks_at_jobs_ends_with_their_namespace() -> None:
    """An engine may try to start a container of the namespace again before that is there, and then gives up."""
    sharing = {name for name, service in SERVICES.items() if service.get("pid") == "service:jobs"}
    assert sharing == {"airflow-scheduler", "airflow-triggerer", "airflow-apiserver", "start"}
    assert {name for name, service in SERVICES.items() if service.get("init") is False} == sharing


def test_the_docs_count_the_secrets() -> None:
    assert f"fills in each change-me; {len(NAMES)} passwords and keys" in CONTAINERS.read_text()


def test_settings_in_it_exist() -> None:
    names = {key for service in SERVICES.values() for key in service.get("environment", {})}
    for name in sorted(name for name in names if name.startswith("FRAUDSTREAM_")):
        group, _, field = name.removeprefix("FRAUDSTREAM_").lower().partition("__")
        assert field in Settings.model_fields[group].annotation.model_fields, name


def test_the_builds_see_no_secret_and_no_state() -> None:
    lines = (PROJECT_DIR / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert not {name for name in let_in if name.startswith((".env", "var", "fraudstream.env", "compose.env", ".git"))}


def test_no_file_of_it_names_a_package_index() -> None:
    files = [*(PROJECT_DIR / "deploy").rglob("*"), PROJECT_DIR / "docker-compose.yaml", EXAMPLE]
    for file in (path for path in files if path.is_file()):
        assert not re.search(
            r"https?://(?!127\.0\.0\.1|airflow-apiserver|superset|kubernetes\.default\.svc)[\w${}.-]+", file.read_text()
        ), file


def test_compose_itself_accepts_it(tmp_path: Path) -> None:
    try:
        found = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        found = False
    if not found:
        pytest.skip("docker compose isn't installed")
    command = ["docker", "compose", "--env-file", str(EXAMPLE), "--profile", "cluster", "config", "--quiet"]
    done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
