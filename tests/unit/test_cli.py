"""The command line, as a shell sees it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fraudstream.docs.commands import commands
from fraudstream.settings import PROJECT_DIR


def fraudctl(var: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FRAUDSTREAM_")}
    environment |= {"FRAUDSTREAM_VAR_DIR": str(var), "PYTHONPATH": str(PROJECT_DIR)}
    command = [sys.executable, "-m", "fraudstream.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_help_lists_every_command(tmp_path: Path) -> None:
    shown = fraudctl(tmp_path, "--help").stdout
    assert [name for name in commands() if f"\n  {name} " not in shown] == []


@pytest.mark.parametrize("command", commands())
def test_each_commands_help_has_an_example(tmp_path: Path, command: str) -> None:
    # Some commands become programs of the Spark environment, which the tests' own interpreter can run, too.
    python = tmp_path / "venvs" / "spark" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = fraudctl(tmp_path, command, "--help")
    assert done.returncode == 0, done.stderr
    assert f"./fraudctl {command}" in done.stdout


def test_env_is_quoted_for_the_shell(tmp_path: Path) -> None:
    var = tmp_path / "it's a folder; $HOME"
    exports = fraudctl(var, "env").stdout
    script = exports + 'printf "%s\\n" "$CREDENTIALS_FILE" "$SPARK_PYTHON"'
    shown = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == [f"{var}/secrets/credentials.json", f"{var}/venvs/spark/bin/python"]


def test_env_holds_no_password(tmp_path: Path) -> None:
    lines = dict(line.removeprefix("export ").split("=", 1) for line in fraudctl(tmp_path, "env").stdout.splitlines())
    assert set(lines) == {
        "KAFKA_BOOTSTRAP",
        "POSTGRES_DSN",
        "AIRFLOW_URL",
        "SUPERSET_URL",
        "CREDENTIALS_FILE",
        "SPARK_PYTHON",
    }
    assert lines["POSTGRES_DSN"].startswith("'postgresql://fraud_writer@127.0.0.1:")


def test_reset_needs_yes_and_then_keeps_environments_and_jars(tmp_path: Path) -> None:
    for name in ("venvs", "jars", "kafka", "secrets"):
        (tmp_path / name).mkdir()
    refused = fraudctl(tmp_path, "reset")
    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    assert (tmp_path / "kafka").exists()
    assert fraudctl(tmp_path, "reset", "--yes").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jars", "venvs"]


def test_a_wrong_log_name_lists_the_right_ones(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "kafka.log").write_text("one\ntwo\n")
    wrong = fraudctl(tmp_path, "logs", "kafak")
    assert (wrong.returncode, wrong.stderr) == (1, "fraudctl: no log 'kafak': choose one of kafka\n")
    assert fraudctl(tmp_path, "logs", "kafka", "-n", "1").stdout == "two\n"


def test_status_of_nothing_is_unhealthy_and_says_why(tmp_path: Path) -> None:
    done = fraudctl(tmp_path, "status", "--json")
    status = json.loads(done.stdout)
    assert done.returncode == 1
    assert status["healthy"] is False
    assert any("fraudctl up" in problem for problem in status["problems"])
    assert {"state", "pid", "url"} == set(status["components"]["kafka"])
    assert set(status["totals"]) == {
        "ingested",
        "scored",
        "flagged",
        "dead_lettered",
        "late",
        "duplicate",
        "pending",
        "lost",
        "skipped",
    }


def test_a_wrong_setting_is_refused_by_name_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fraudstream.cli", "env"],
        capture_output=True,
        text=True,
        env=os.environ | {"FRAUDSTREAM_KAFKA__PORT": "seventy", "PYTHONPATH": str(PROJECT_DIR)},
        check=False,
    )
    assert done.returncode == 1
    assert "FRAUDSTREAM_KAFKA__PORT='seventy'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("benchmark", sorted((PROJECT_DIR / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_each_benchmark_needs_no_platform_to_explain_itself(benchmark: Path) -> None:
    command = [sys.executable, "-P", str(benchmark), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert f"usage: {benchmark.name}" in done.stdout.lower()
