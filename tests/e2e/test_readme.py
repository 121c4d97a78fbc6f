"""The README's commands work, as they stand there."""

import csv
import random
import re
import subprocess
from datetime import datetime, timedelta
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
    write_own_history(made / "history.csv")
    return made


def write_own_history(file: Path) -> None:
    """The labelled history that a shop of its own would bring: 30 days, where frauds are of large amounts."""
    chance = random.Random(1)
    with file.open("w", newline="") as output:
        rows = csv.writer(output)
        rows.writerow(["transaction_id", "event_time", "customer_id", "device_id", "amount", "is_fraud"])
        for number in range(6_000):
            when = datetime(2026, 1, 1) + timedelta(days=30 * number / 6_000)
            fraud = chance.random() < 0.03
            amount = round(chance.uniform(5, 100) + 200 * fraud, 2)
            customer, device = chance.randrange(300), chance.randrange(400)
            rows.writerow([f"t-{number}", when.isoformat(), f"c-{customer}", f"d-{device}", amount, int(fraud)])


@pytest.mark.parametrize("command", commands())
def test_command(platform: Settings, folder: Path, command: str) -> None:
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
