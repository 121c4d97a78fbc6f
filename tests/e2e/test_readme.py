"""The README's commands work, as they stand there."""

import re
import subprocess
from pathlib import Path

import pytest

from fraudstream.settings import PROJECT_DIR, Settings

README = (PROJECT_DIR / "README.md").read_text()
#: Run elsewhere: by the fixture `platform`, by test_platform, and by CI.
ELSEWHERE = ("up", "down", "test", "reset")


def commands() -> list[str]:
    """What stands in the README's code blocks, without comments."""
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
    lines = (line.split("  #")[0].strip() for line in blocks.splitlines())
    return [line for line in lines if "./fraudctl" in line and line.split()[1] not in ELSEWHERE]


def test_the_readme_shows_commands() -> None:
    assert len(commands()) >= 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One working folder for all, since later commands use what earlier ones wrote."""
    made = tmp_path_factory.mktemp("readme")
    (made / "fraudctl").symlink_to(PROJECT_DIR / "fraudctl")
    return made


@pytest.mark.parametrize("command", commands())
def test_command(platform: Settings, folder: Path, command: str) -> None:
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
