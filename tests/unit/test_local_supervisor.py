"""A real supervisord with small parts: kept alive, reloaded, found again, and never left behind."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fraudstream.local import leftovers
from fraudstream.local.parts.part import Part
from fraudstream.local.supervisor import Supervisor, SupervisorError
from fraudstream.settings import Settings
from tests.polling import poll

WAIT_SECONDS = 60


def eventually(condition: Callable[[], object]) -> None:
    poll(condition, WAIT_SECONDS, "what should happen")


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    made = Settings(var_dir=tmp_path)
    yield made
    leftovers.end(leftovers.our_processes(made))


def sleeper(settings: Settings, seconds: int = 600) -> Part:
    return Part("sleeper", ("/bin/sleep", str(seconds)), settings.paths.var)


def running(settings: Settings) -> Supervisor:
    supervisor = Supervisor(settings)
    supervisor.apply([sleeper(settings)])
    supervisor.start("sleeper")
    eventually(lambda: supervisor.states()["sleeper"].state == "RUNNING")
    return supervisor


def test_a_killed_part_is_started_again(settings: Settings) -> None:
    supervisor = running(settings)
    first = supervisor.states()["sleeper"].pid
    assert first
    os.kill(first, signal.SIGKILL)
    eventually(lambda: supervisor.states()["sleeper"].pid not in (first, None))


def test_an_unchanged_part_survives_apply_and_a_changed_one_is_replaced(settings: Settings) -> None:
    supervisor = running(settings)
    first = supervisor.states()["sleeper"].pid
    supervisor.apply([sleeper(settings)])
    assert supervisor.states()["sleeper"].pid == first
    supervisor.apply([sleeper(settings, seconds=601)])
    assert supervisor.states()["sleeper"].state == "STOPPED"
    supervisor.start("sleeper")
    eventually(lambda: supervisor.states()["sleeper"].state == "RUNNING")
    pid = supervisor.states()["sleeper"].pid
    assert psutil.Process(pid).cmdline() == ["/bin/sleep", "601"]


def test_a_part_that_does_not_stay_up_is_named_with_its_log(settings: Settings) -> None:
    supervisor = Supervisor(settings)
    supervisor.apply([Part("broken", ("/bin/false",), settings.paths.var)])
    supervisor.start("broken")
    eventually(lambda: supervisor.states()["broken"].state == "FATAL")
    with pytest.raises(SupervisorError, match=r"broken does not stay up .*broken\.log"):
        supervisor.check("broken")


def test_orphans_of_a_killed_supervisord_are_found_and_ended(settings: Settings) -> None:
    supervisor = running(settings)
    orphan = psutil.Process(supervisor.states()["sleeper"].pid)
    daemon = psutil.Process(int(supervisor.pid_file.read_text()))
    daemon.kill()
    eventually(lambda: not daemon.is_running())
    assert orphan.is_running()
    assert not supervisor.answers()
    assert leftovers.end_orphans(settings) == ["sleep"]
    assert not orphan.is_running()
    assert running(settings).answers()


def test_shutdown_leaves_nothing(settings: Settings) -> None:
    running(settings).shutdown()
    assert leftovers.our_processes(settings) == []


def test_a_stopped_supervisord_is_an_error_not_a_hang(settings: Settings) -> None:
    supervisor = running(settings)
    daemon = psutil.Process(int(supervisor.pid_file.read_text()))
    daemon.suspend()
    try:
        began = time.monotonic()
        assert not supervisor.answers()
        assert time.monotonic() - began < WAIT_SECONDS
    finally:
        daemon.resume()


def test_the_socket_is_closed_to_others(settings: Settings) -> None:
    supervisor = running(settings)
    assert supervisor.socket.stat().st_mode & 0o777 == 0o700
    assert supervisor.socket.parent.stat().st_mode & 0o777 == 0o700


def test_a_path_too_long_for_a_socket_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SupervisorError, match="FRAUDSTREAM_VAR_DIR"):
        Supervisor(Settings(var_dir=tmp_path / ("x" * 120)))
