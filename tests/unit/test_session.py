"""Temporary files of the streaming job."""

import os
import subprocess
import sys
from pathlib import Path

from spark_jobs.session import scratch_folder


def test_a_start_deletes_the_temporary_files_of_killed_drivers_only(tmp_path: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    living = os.getppid()
    for pid in (killed.pid, living):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "state").write_text("a copy")
    own = scratch_folder(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((str(living), own.name))
    assert (tmp_path / str(living) / "state").exists()
    assert scratch_folder(tmp_path) == own


def test_the_first_start_makes_the_folder(tmp_path: Path) -> None:
    assert scratch_folder(tmp_path / "stream" / "scratch").is_dir()
