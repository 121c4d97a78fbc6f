"""Runs the plugin's own tests (tests/plugins) in Airflow's environment, against a real Airflow with a fresh home."""

import os
import subprocess
from pathlib import Path

from fraudstream.settings import PROJECT_DIR, load_settings

MODULES = sorted(f"tests.plugins.{path.stem}" for path in (PROJECT_DIR / "tests" / "plugins").glob("test_*.py"))


def test_plugin(tmp_path: Path) -> None:
    """All of them in one process: the import of Airflow takes longer than most."""
    python = load_settings().paths.python("airflow")
    done = subprocess.run(
        [python, "-m", "unittest", "-v", *MODULES],
        cwd=PROJECT_DIR,
        env=os.environ
        | {
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": os.pathsep.join([str(PROJECT_DIR / "plugins"), str(PROJECT_DIR)]),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [module for module in MODULES if f"({module}." not in done.stderr] == []
