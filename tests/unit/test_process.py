"""Long-lived processes: started once, found again, watched, stopped. With real child processes."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from fraudstream.jobs.heartbeat import Heartbeat
from fraudstream.jobs.slot import Identity, ProcessError, Slot, boot_id, start_ticks
from fraudstream.settings import PROJECT_DIR

SLEEPER = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("ready", flush=True)
signal.pause()
"""
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True: signal.pause()
"""


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Slot]:
    slot = Slot(tmp_path / "slot")
    yield slot
    if running := slot.running:
        slot.stop(running, grace_seconds=0.1)


def launch(slot: Slot, script: str = SLEEPER, wait_seconds: float = 60) -> tuple[Identity, bool]:
    identity, started = slot.launch(
        [sys.executable, "-c", script],
        environment={"PATH": os.environ["PATH"], "COLOUR": "green"},
        directory=slot.folder,
        log=slot.folder / "job.log",
        wait_seconds=wait_seconds,
    )
    if started and "ready" in script:
        until(lambda: "ready" in (slot.folder / "job.log").read_text())
    return identity, started


def launch_in_another_process(folder: Path, answers: "multiprocessing.Queue[tuple[int, bool]]") -> None:
    identity, started = launch(Slot(folder))
    answers.put((identity.pid, started))


def test_it_starts_in_a_session_of_its_own_and_is_found_again(slot: Slot) -> None:
    identity, started = launch(slot)
    assert started
    assert identity.alive
    assert Slot(slot.folder).running == identity
    assert os.getsid(identity.pid) != os.getsid(0)


def test_a_second_launch_adopts_the_living_process(slot: Slot) -> None:
    first, _ = launch(slot)
    assert launch(slot) == (first, False)


def test_launches_at_the_same_time_start_one_process(slot: Slot) -> None:
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[tuple[int, bool]] = context.Queue()
    launchers = [context.Process(target=launch_in_another_process, args=(slot.folder, answers)) for _ in range(6)]
    for launcher in launchers:
        launcher.start()
    results = [answers.get(timeout=60) for _ in launchers]
    for launcher in launchers:
        launcher.join()
    assert len({pid for pid, _ in results}) == 1
    assert sum(started for _, started in results) == 1


def test_it_gets_only_the_environment_that_was_given(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMEBODYS_PASSWORD", "hunter2")
    launch(slot, "import os; print('COLOUR' in os.environ, 'SOMEBODYS_PASSWORD' in os.environ, flush=True)")
    until(lambda: "True False" in (slot.folder / "job.log").read_text())


def test_only_the_job_has_the_jobs_command_line(slot: Slot) -> None:
    identity, _ = launch(slot)
    shown = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if int(path.parent.name) != os.getpid()]
    assert [line for line in shown if SLEEPER.encode() in line] == [Path(f"/proc/{identity.pid}/cmdline").read_bytes()]


def test_stop_lets_it_end_by_itself(slot: Slot) -> None:
    identity, _ = launch(slot)
    slot.stop(identity, grace_seconds=10)
    assert not identity.alive
    until(lambda: slot.exit_of(identity))
    assert str(slot.exit_of(identity)) == "exit status 0"
    assert slot.stop_requested(identity)


def test_stop_kills_what_ignores_sigterm(slot: Slot) -> None:
    identity, _ = launch(slot, STUBBORN)
    slot.stop(identity, grace_seconds=0.2)
    assert not identity.alive


def test_stop_kills_what_is_frozen(slot: Slot) -> None:
    identity, _ = launch(slot)
    os.kill(identity.pid, signal.SIGSTOP)
    slot.stop(identity, grace_seconds=0.2)
    assert not identity.alive


def test_a_stopped_process_is_started_anew_not_adopted(slot: Slot) -> None:
    first, _ = launch(slot)
    slot.stop(first)
    second, started = launch(slot)
    assert started
    assert second.pid != first.pid
    assert not slot.stop_requested(second)


def test_a_process_that_is_being_stopped_is_waited_for(slot: Slot) -> None:
    first, _ = launch(slot, STUBBORN)
    slot._write("stopping.json", first)
    with pytest.raises(ProcessError, match="lock is held"):
        launch(slot, wait_seconds=0.2)
    os.kill(first.pid, signal.SIGKILL)
    second, started = launch(slot)
    assert started
    assert second != first


def test_the_exit_status_is_kept(slot: Slot) -> None:
    identity, _ = launch(slot, "raise SystemExit(3)")
    until(lambda: slot.exit_of(identity))
    assert str(slot.exit_of(identity)) == "exit status 3"


def test_the_killing_signal_is_kept(slot: Slot) -> None:
    identity, _ = launch(slot)
    os.kill(identity.pid, signal.SIGKILL)
    until(lambda: slot.exit_of(identity))
    assert str(slot.exit_of(identity)) == "killed by SIGKILL"
    assert slot.running is None


def test_the_lock_outlives_the_parent_that_remembers(slot: Slot) -> None:
    identity, _ = launch(slot)
    os.kill(identity.group, signal.SIGKILL)
    until(lambda: start_ticks(identity.group) is None)
    assert identity.alive
    assert launch(slot) == (identity, False)


def test_a_command_that_cannot_start_is_named_with_its_log(slot: Slot, tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"job\.log"):
        slot.launch(["/does/not/exist"], environment={}, directory=tmp_path, log=tmp_path / "job.log")
    assert "/does/not/exist" in (tmp_path / "job.log").read_text()


def test_a_zombie_counts_as_dead() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    try:
        until(lambda: ") Z " in Path(f"/proc/{pid}/stat").read_text())
        assert start_ticks(pid) is None
    finally:
        os.waitpid(pid, 0)


@pytest.mark.parametrize(
    "stranger",
    [
        Identity(os.getpid(), 1, boot_id(), os.getpgrp(), 0),
        Identity(os.getpid(), start_ticks(os.getpid()) or 0, "another boot", os.getpgrp(), 0),
    ],
    ids=["another start time", "another boot"],
)
def test_a_reused_pid_is_not_the_process(stranger: Identity, slot: Slot) -> None:
    assert not stranger.alive
    slot.stop(stranger)  # must not end this very test


def test_heartbeats_before_the_launch_do_not_count(slot: Slot) -> None:
    slot.folder.mkdir()
    slot._write("heartbeat.json", Heartbeat(at=time.time() - 3600, state="running"))
    identity, _ = launch(slot)
    assert slot.heartbeat_of(identity) is None
    assert 0 <= slot.heartbeat_age(identity) < 60
    slot._write("heartbeat.json", Heartbeat(at=time.time() + 5, state="running", batch_id=7, progress="7 rows"))
    heartbeat = slot.heartbeat_of(identity)
    assert heartbeat is not None
    assert heartbeat.progress == "7 rows"


def test_a_broken_record_is_named(slot: Slot) -> None:
    slot.folder.mkdir()
    (slot.folder / "heartbeat.json").write_bytes(msgspec.json.encode(["not", "a", "heartbeat"]))
    with pytest.raises(ProcessError, match=r"heartbeat\.json is not a heartbeat"):
        _ = slot.heartbeat


def test_only_the_process_in_a_slot_holds_it_for_its_own(slot: Slot) -> None:
    says = "from fraudstream.jobs.slot import Slot; print('ours:', Slot('.').is_ours, flush=True)"
    launch(slot, f"import sys; sys.path.insert(0, {str(PROJECT_DIR)!r})\n{says}")
    log = slot.folder / "job.log"
    until(lambda: "ours:" in log.read_text())
    assert log.read_text() == "ours: True\n"
    assert not slot.is_ours
