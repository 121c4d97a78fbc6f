"""Commands side by side: real processes, whose output, order and end are looked at."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fraudstream.local.lanes import INTERRUPTED, Command, Result, run_all, status_of
from fraudstream.settings import PROJECT_DIR
from tests.polling import poll

#: Says that it runs, and waits for another that runs at the same time.
MEET = """
import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.touch()
deadline = time.monotonic() + 60
while not other.exists():
    assert time.monotonic() < deadline
    time.sleep(0.01)
print("met", other.name)
"""
#: Runs until Ctrl-C, and tidies up then.
LONG = """
import pathlib, sys, time
try:
    pathlib.Path(sys.argv[1]).touch()
    time.sleep(600)
except KeyboardInterrupt:
    print("tidied up")
    sys.exit(2)
"""
#: Runs LONG, and another that is never to be run.
INTERRUPTIBLE = """
import sys
from pathlib import Path
from fraudstream.local.lanes import Command, run_all, status_of
folder = Path(sys.argv[1])
commands = [
    Command("long", (sys.executable, "-c", sys.argv[2], str(folder / "started"))),
    Command("next", ("touch", str(folder / "next"))),
]
results = run_all(commands, 1, folder, folder / "logs", print)
print(*results, sep="\\n")
sys.exit(status_of(results))
"""


def python(name: str, program: str, *arguments: object) -> Command:
    return Command(name, (sys.executable, "-c", program, *map(str, arguments)))


def run(folder: Path, lanes: int, *commands: Command) -> tuple[list[Result], list[str]]:
    told: list[str] = []
    return run_all(commands, lanes, folder, folder / "logs", told.append), told


def test_two_run_at_a_time_and_each_ones_output_is_shown_whole(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    results, told = run(tmp_path, 2, python("first", MEET, a, b), python("second", MEET, b, a))
    assert [(result.name, result.status) for result in results] == [("first", 0), ("second", 0)]
    shown = [text.splitlines()[:2] for text in told if text.startswith("--- ")]
    assert sorted(shown) == [["--- first", "met b"], ["--- second", "met a"]]
    assert (tmp_path / "logs" / "first.log").read_text() == "met b\n"


def test_no_more_run_than_there_are_lanes(tmp_path: Path) -> None:
    first = python("first", "import sys, time; time.sleep(0.5); open(sys.argv[1], 'w')", tmp_path / "done")
    second = python("second", "import os, sys; sys.exit(not os.path.exists(sys.argv[1]))", tmp_path / "done")
    results, _ = run(tmp_path, 1, first, second)
    assert [result.status for result in results] == [0, 0]


def test_a_light_one_needs_no_lane(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    light = replace(python("light", MEET, a, b), light=True)
    results, _ = run(tmp_path, 1, python("heavy", MEET, b, a), light)
    assert [(result.name, result.status) for result in results] == [("heavy", 0), ("light", 0)]


def test_after_a_failure_the_others_run_and_the_status_is_its(tmp_path: Path) -> None:
    bad, good = python("bad", "import sys; print('no'); sys.exit(3)"), python("good", "print('fine')")
    results, told = run(tmp_path, 1, bad, good)
    assert [result.status for result in results] == [3, 0]
    assert status_of(results) == 3
    assert [str(result).split(" in ")[0].split(maxsplit=1) for result in results] == [
        ["bad", "FAILED with exit status 3"],
        ["good", "passed"],
    ]
    outputs = [text.splitlines() for text in told if text.startswith("--- ")]
    assert [lines[1:-1] for lines in outputs] == [[], ["fine"], ["no"]]  # the bad one's end at once, its output last


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_lets_each_tidy_up_and_starts_no_other(tmp_path: Path, number: signal.Signals) -> None:
    program = [sys.executable, "-c", INTERRUPTIBLE, str(tmp_path), LONG]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=PROJECT_DIR) as process:
        assert process.stdout
        lines = [process.stdout.readline()]
        poll((tmp_path / "started").exists, 60, "the start")
        os.kill(process.pid, number)
        lines += process.stdout.readlines()
    assert process.returncode == 2
    assert "tidied up\n" in lines
    assert [line.split(maxsplit=1)[1] for line in lines if line.startswith("next")] == ["not run\n"]
    assert not (tmp_path / "next").exists()


def test_an_interruption_is_no_success(tmp_path: Path) -> None:
    assert status_of([Result("a", 0, 1.0, tmp_path), Result("b", None, 0.0, tmp_path)]) == INTERRUPTED
