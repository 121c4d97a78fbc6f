"""Files and folders."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fraudstream.files import delete

#: Deletes what argv names as soon as its standard input ends.
DELETE = """
import pathlib, sys
from fraudstream.files import delete
sys.stdin.read()
delete(pathlib.Path(sys.argv[1]))
"""


def test_two_processes_may_delete_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    for number in range(2000):
        inner = folder / f"blockmgr-{number % 40}" / str(number)
        inner.mkdir(parents=True)
        (inner / "block").touch()
    command = [sys.executable, "-c", DELETE, str(folder)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(3)]
    with ThreadPoolExecutor(len(processes)) as pool:
        list(pool.map(lambda process: process.communicate(), processes))
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert not folder.exists()


def test_a_link_goes_without_what_it_points_to(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / "link").symlink_to(kept)
    delete(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_what_cannot_be_deleted_is_an_error() -> None:
    with pytest.raises(PermissionError):
        delete(Path("/proc/self/fdinfo"))
