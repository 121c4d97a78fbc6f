"""Failpoints: silent when none is set, once at the named passing, and refused by name when there is no such place."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from fraudstream import failpoints
from fraudstream.errors import SettingsError
from fraudstream.failpoints import Failpoint, FailpointError, reach
from fraudstream.local import doctor
from fraudstream.settings import PROJECT_DIR, Settings, StreamSettings, load_settings


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def test_nothing_happens_when_none_is_set() -> None:
    for name in Failpoint:
        reach(name)


def test_an_error_is_raised_once_at_its_passing(caplog: pytest.LogCaptureFixture) -> None:
    failpoints.arm("after-copy=error@3")
    reach(Failpoint.AFTER_COPY)
    reach(Failpoint.AFTER_COPY)
    reach(Failpoint.AFTER_APPLY)
    with pytest.raises(FailpointError, match="after-copy"):
        reach(Failpoint.AFTER_COPY)
    reach(Failpoint.AFTER_COPY)
    assert [record.getMessage() for record in caplog.records] == ["failpoint after-copy fires at passing 3: error"]


def test_arming_the_same_again_keeps_the_counts() -> None:
    failpoints.arm("in-scoring=error@2")
    reach(Failpoint.IN_SCORING)
    failpoints.arm("in-scoring=error@2")
    with pytest.raises(FailpointError):
        reach(Failpoint.IN_SCORING)
    failpoints.arm("")
    reach(Failpoint.IN_SCORING)


def test_a_pause_takes_its_time() -> None:
    failpoints.arm("before-plan=pause:0.2")
    begun = time.monotonic()
    reach(Failpoint.BEFORE_PLAN)
    assert time.monotonic() - begun >= 0.2


def test_a_kill_takes_the_whole_group() -> None:
    code = (
        "import subprocess, sys; from fraudstream import failpoints; failpoints.arm('after-commit=kill'); "
        "subprocess.Popen([sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(600)']); "
        "sys.stdin.readline(); failpoints.reach('after-commit')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=PROJECT_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"  # the child lives
    _, said = process.communicate("\n", timeout=60)  # ends when the child, which holds the pipes, is gone
    assert process.returncode == -9
    assert "failpoint after-commit fires at passing 1: kill" in said


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("after-comit=kill", "no failpoint 'after-comit': choose among before-fencing"),
        ("after-commit", "after-commit=kill, =error or =pause:SECONDS"),
        ("after-commit=explode", "'after-commit=explode'"),
        ("after-commit=kill@0", "@N"),
        ("after-commit=kill@often", "@N"),
        ("after-commit=pause", "=pause:SECONDS"),
        ("after-commit=kill:3", "'after-commit=kill:3'"),
    ],
)
def test_a_wrong_one_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, spec: str, named: str) -> None:
    monkeypatch.setenv("FRAUDSTREAM_STREAM__FAILPOINTS", f"before-plan=error,{spec}")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert "FRAUDSTREAM_STREAM__FAILPOINTS" in str(error.value)
    assert named in str(error.value)


def test_the_doctor_tells_of_set_ones() -> None:
    settings = Settings(stream=StreamSettings(failpoints="after-commit=kill"))
    assert any("FRAUDSTREAM_STREAM__FAILPOINTS" in problem for problem in doctor.find_problems(settings))
    assert not any("FAILPOINTS" in problem for problem in doctor.find_problems(Settings()))
