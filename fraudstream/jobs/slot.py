"""A long-lived process that is started once, found again, watched and stopped.

A process lives in a folder of its own, its *slot*. It is protected by `flock` on a file there, whose descriptor the
process itself holds: as long as it lives, nobody can start a second one, whoever the launcher was and however it ended.
Beside the lock lies its identity (pid, start time, boot), so that a later launcher, watcher or stopper finds exactly it
and never a stranger that got the same pid.

Between launcher and process stands a small parent (`python -m fraudstream.jobs.slot SLOT`), which is what remembers
how the process ended: the launcher is long gone by then. The process outlives its parent, too.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from fraudstream.errors import FraudstreamError
from fraudstream.files import write_atomically
from fraudstream.jobs.heartbeat import HEARTBEAT, Heartbeat

#: Where this package is importable. Not from the settings: their libraries would double the time of a launch.
PROJECT_DIR = Path(__file__).resolve().parents[2]
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
OWN_DESCRIPTORS = Path("/proc/self/fd")
LOG_LIMIT_BYTES = 64 * 2**20
POLL_SECONDS = 0.05


class ProcessError(FraudstreamError):
    """A process could not be started, found or stopped; the message names its folder."""


class Identity(Struct, frozen=True):
    """One process among all: a pid alone is reused, with start time and boot it is not."""

    pid: int
    start_ticks: int
    boot_id: str
    group: int
    launched_at: float

    @property
    def alive(self) -> bool:
        """True while this very process runs. A zombie doesn't: it has ended and only awaits its parent."""
        return self.boot_id == boot_id() and start_ticks(self.pid) == self.start_ticks


class Exit(Struct, frozen=True):
    """End of a process: its exit status, negative for the signal that killed it."""

    identity: Identity
    status: int

    def __str__(self) -> str:
        if self.status >= 0:
            return f"exit status {self.status}"
        return f"killed by {signal.Signals(-self.status).name}"


class Command(Struct, frozen=True):
    """A slot's command line and working directory."""

    arguments: tuple[str, ...]
    directory: str


Stored = TypeVar("Stored", Identity, Heartbeat, Exit, Command)


class Slot:
    """The folder of one long-lived process."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    @property
    def identity(self) -> Identity | None:
        """The process that was started last, alive or not."""
        return self._read("identity.json", Identity)

    @property
    def running(self) -> Identity | None:
        """The process that runs now."""
        identity = self.identity
        return identity if identity and identity.alive else None

    @property
    def is_ours(self) -> bool:
        """True within the process that runs in this slot: it inherited the lock's descriptor."""
        lock = self.folder / "lock"
        return lock.exists() and any(_is_open_on(lock, descriptor) for descriptor in OWN_DESCRIPTORS.iterdir())

    @property
    def heartbeat(self) -> Heartbeat | None:
        """The newest heartbeat, of whichever process wrote it."""
        return self._read(HEARTBEAT, Heartbeat)

    def heartbeat_of(self, identity: Identity) -> Heartbeat | None:
        """The newest heartbeat of this process; None before its first."""
        heartbeat = self.heartbeat
        return heartbeat if heartbeat and heartbeat.at >= identity.launched_at else None

    def heartbeat_age(self, identity: Identity) -> float:
        """Seconds since this process's newest heartbeat, or since its launch when there is none yet."""
        heartbeat = self.heartbeat_of(identity)
        return time.time() - (heartbeat.at if heartbeat else identity.launched_at)

    def exit_of(self, identity: Identity) -> Exit | None:
        """The process's end; None while it runs, and when nobody could see it end (a reboot)."""
        ended = self._read("exit.json", Exit)
        return ended if ended and ended.identity == identity else None

    def stop_requested(self, identity: Identity) -> bool:
        """True once `stop` was called for this process."""
        return self._read("stopping.json", Identity) == identity

    def launch(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        log: Path,
        wait_seconds: float = 60,
    ) -> tuple[Identity, bool]:
        """Starts the process unless it runs already. Returns it, and whether it was started now.

        A process that is just being stopped is waited for. `environment` is all that the process gets; its output is
        appended to `log`. Raises ProcessError when it can't be started, or when its predecessor doesn't end within
        `wait_seconds`.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            adopted = self._lock_or_adopt(lock, wait_seconds)
            if adopted:
                return adopted, False
            self._write("command.json", Command(tuple(arguments), str(directory)))
            return self._start(lock, environment, log), True
        finally:
            os.close(lock)  # the process has its own descriptor of the lock

    def stop(self, identity: Identity, *, grace_seconds: float = 25) -> None:
        """Ends the process: SIGTERM to it alone, and SIGKILL to its whole group after `grace_seconds`.

        Only the process itself is asked, since a SIGTERM to the group would take Spark's JVM away from its Python
        driver in the middle of a micro-batch. Returns when it is gone. Raises ProcessError when even SIGKILL fails.
        """
        if not identity.alive:
            return
        self._write("stopping.json", identity)
        with suppress(ProcessLookupError):
            os.kill(identity.pid, signal.SIGTERM)
        if _wait_until_gone(identity, grace_seconds):
            return
        with suppress(ProcessLookupError):
            os.killpg(identity.group, signal.SIGKILL)
        if not _wait_until_gone(identity, 10):
            raise ProcessError(f"process {identity.pid} of {self.folder} survived SIGKILL: look at it with `ps`")

    def _lock_or_adopt(self, lock: int, wait_seconds: float) -> Identity | None:
        deadline = time.monotonic() + wait_seconds
        while not _try_lock(lock):
            identity = self.running
            if identity and not self.stop_requested(identity):
                return identity
            if time.monotonic() > deadline:
                raise ProcessError(
                    f"{self.folder}/lock is held, but not by the process on record ({identity or 'none'}): "
                    f"find its holder with `fuser {self.folder}/lock` and stop it"
                )
            time.sleep(POLL_SECONDS)
        return None

    def _start(self, lock: int, environment: Mapping[str, str], log: Path) -> Identity:
        previous = self.identity
        _rotate(log)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            parent = subprocess.Popen(
                [sys.executable, "-m", "fraudstream.jobs.slot", str(self.folder), str(lock)],
                cwd=PROJECT_DIR,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock,),
            )
        while self.identity == previous:
            if parent.poll() is not None:
                raise ProcessError(f"the process of {self.folder} could not be started: see the end of {log}")
            time.sleep(POLL_SECONDS)
        identity = self.identity
        assert identity is not None  # noqa: S101  (it differs from `previous`, and records are never removed)
        return identity

    def _read(self, name: str, kind: type[Stored]) -> Stored | None:
        try:
            return msgspec.json.decode((self.folder / name).read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise ProcessError(f"{self.folder / name} is not a {kind.__name__.lower()}: {error}") from error

    def _write(self, name: str, value: Stored) -> None:
        write_atomically(self.folder / name, msgspec.json.encode(value).decode())


def boot_id() -> str:
    """The machine's current boot."""
    return BOOT_ID.read_text().strip()


def start_ticks(pid: int) -> int | None:
    """Start time of `pid`, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat[stat.rindex(")") + 2 :].split()
    return None if state in "ZX" else int(fields[18])


def _is_open_on(path: Path, descriptor: Path) -> bool:
    try:
        return path.samefile(descriptor)
    except OSError:  # closed meanwhile, as the one that lists them is
        return False


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_until_gone(identity: Identity, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while identity.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _rotate(log: Path) -> None:
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))


def _run_and_remember(slot: Slot, lock: int) -> None:
    """Runs the slot's command as a child that holds the lock, and keeps its exit status."""
    command = slot._read("command.json", Command)
    if command is None:
        raise ProcessError(f"{slot.folder}/command.json is missing")
    child = subprocess.Popen(command.arguments, cwd=command.directory, stdin=subprocess.DEVNULL, pass_fds=(lock,))
    os.close(lock)
    ticks = start_ticks(child.pid) or 0  # 0: it has ended already
    identity = Identity(child.pid, ticks, boot_id(), os.getpgrp(), time.time())
    slot._write("identity.json", identity)
    slot._write("exit.json", Exit(identity, child.wait()))


if __name__ == "__main__":
    _run_and_remember(Slot(sys.argv[1]), int(sys.argv[2]))
