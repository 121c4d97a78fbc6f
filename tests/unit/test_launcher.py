"""`./fraudctl` itself: which Python it takes, what it says without one, and that it is quiet once it is set up."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fraudstream.settings import PROJECT_DIR

TOOLS = ("bash", "dirname", "readlink", "sha256sum", "sed", "tail", "tr", "mkdir", "flock", "env")


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with what the launcher needs, and no Python."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return folder


def launch(tools: Path, var: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": str(tools), "HOME": str(var), "FRAUDSTREAM_VAR_DIR": str(var), **environment}
    command = [str(PROJECT_DIR / "fraudctl"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=variables, cwd="/", timeout=60, check=False)


def test_without_a_python_it_says_in_one_line_what_to_do(tools: Path, tmp_path: Path) -> None:
    done = launch(tools, tmp_path / "var", "env")
    assert done.returncode == 1
    assert done.stderr.startswith("fraudctl: no Python 3.11 with venv and ensurepip: ")
    assert "FRAUDSTREAM_PYTHON" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_python_that_does_not_work_is_passed_over(tools: Path, tmp_path: Path) -> None:
    old = tools / "python3.11"
    old.write_text("#!/usr/bin/env bash\nexit 1\n")
    old.chmod(0o755)
    assert "no Python 3.11" in launch(tools, tmp_path / "var", "env", FRAUDSTREAM_PYTHON=str(old)).stderr


def test_once_set_up_it_runs_the_command_line_at_once(tools: Path, tmp_path: Path) -> None:
    venv = tmp_path / "var" / "venvs" / "control"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    digest = hashlib.sha256((PROJECT_DIR / "requirements" / "control.txt").read_bytes()).hexdigest()
    (venv / ".stamp").write_text(f"{digest}  -\n{PROJECT_DIR}\n")
    search = os.pathsep.join(path for path in sys.path if path)
    done = launch(tools, tmp_path / "var", "env", PYTHONPATH=f"{PROJECT_DIR}{os.pathsep}{search}")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"export SPARK_PYTHON={tmp_path}/var/venvs/spark/bin/python" in done.stdout


def test_another_lock_means_another_environment(tools: Path, tmp_path: Path) -> None:
    venv = tmp_path / "var" / "venvs" / "control"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    (venv / ".stamp").write_text(f"{'0' * 64}  -\n{PROJECT_DIR}\n")
    assert "no Python 3.11" in launch(tools, tmp_path / "var", "env").stderr
