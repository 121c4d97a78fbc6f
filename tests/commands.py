"""./fraudctl, run as a user runs it."""

import subprocess

from fraudstream.settings import PROJECT_DIR


def fraudctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs ./fraudctl with this process's environment. The caller looks at the exit status."""
    return subprocess.run([PROJECT_DIR / "fraudctl", *arguments], capture_output=True, text=True, check=False)
