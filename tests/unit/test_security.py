"""`doctor --security` on a platform that is down: every check, and the command."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fraudstream.local.security import database, files, listeners, services, values
from fraudstream.local.security.finding import Finding, Outcome
from fraudstream.settings import Settings
from tests.findings import DOWN, outcomes, problems, set_up


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return set_up(tmp_path)


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
