"""Our processes, found by what they carry, not by files that a `kill -9` may have left wrong.

supervisord gives all that it starts its own address (SUPERVISOR_SERVER_URL), which every descendant inherits. Some
overwrite their environment to show a title in `ps`: Airflow's are found by their session, which is supervisord's,
PostgreSQL's by their working folder, which is the data's.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from fraudstream.errors import FraudstreamError
from fraudstream.jobs.jobs import jobs
from fraudstream.local.supervisor import Supervisor
from fraudstream.settings import Settings

GRACE_SECONDS = 15
#: supervisord writes its pid file a little after it has started.
START_MARGIN_SECONDS = 5


class LeftoverError(FraudstreamError):
    """A process of ours can't be ended."""


def our_processes(settings: Settings) -> list[psutil.Process]:
    """supervisord, the programs that it started, and all that these started, the long-lived jobs included."""
    supervisor = Supervisor(settings)
    session = _session(supervisor)
    return [process for process in _others() if _is_ours(settings, process, supervisor, session)]


def end_orphans(settings: Settings) -> list[str]:
    """Ends programs that outlived their supervisord, and returns their names. The long-lived jobs are let live.

    Those are found again by whoever watches them (`fraudstream.jobs.slot`).
    """
    sessions = {job.slot.running.group for job in jobs(settings).values() if job.slot.running}
    orphans = [process for process in our_processes(settings) if _session_of(process.pid) not in sessions]
    return end(orphans)


def end(processes: list[psutil.Process]) -> list[str]:
    """Ends processes: politely, and after a while by force. Returns their names. Raises LeftoverError."""
    names = sorted({name for process in processes if (name := _name(process))})
    for process in processes:
        # For PostgreSQL INT is the fast shutdown; TERM would wait for its clients.
        _send(process, signal.SIGINT if _name(process) == "postgres" else signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=GRACE_SECONDS)
    for process in alive:
        _send(process, signal.SIGKILL)
    _, alive = psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    if alive:
        raise LeftoverError(f"processes {[process.pid for process in alive]} survive SIGKILL: look at them with ps")
    return names


def _others() -> Iterator[psutil.Process]:
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return (process for process in psutil.process_iter() if process.pid not in mine)


@dataclass(frozen=True)
class _Session:
    """The session that supervisord leads, or led: nothing in it is older than `since`."""

    leader: int
    since: float


def _session(supervisor: Supervisor) -> _Session | None:
    """The newest supervisord's session. A pid stays taken as long as its session has members."""
    try:
        leader = int(supervisor.pid_file.read_text())
        since = supervisor.pid_file.stat().st_mtime - START_MARGIN_SECONDS
    except FileNotFoundError:
        return None
    try:
        if not _is_supervisor(psutil.Process(leader), supervisor):
            return None  # a stranger has the pid: the session has ended
    except psutil.NoSuchProcess:
        pass  # supervisord was killed; its session may live on
    return _Session(leader, since)


def _is_ours(settings: Settings, process: psutil.Process, supervisor: Supervisor, session: _Session | None) -> bool:
    try:
        if process.environ().get("SUPERVISOR_SERVER_URL") == supervisor.server_url:
            return True
        if session and _session_of(process.pid) == session.leader and process.create_time() >= session.since:
            return True
        if process.name().startswith("postgres"):
            return process.cwd() == str(settings.paths.postgres)
        return _is_supervisor(process, supervisor)
    except (psutil.Error, FileNotFoundError):
        return False  # it has ended meanwhile, or it is another user's


def _is_supervisor(process: psutil.Process, supervisor: Supervisor) -> bool:
    command = process.cmdline()
    return "supervisor.supervisord" in command and str(supervisor.config) in command


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _name(process: psutil.Process) -> str | None:
    """The program's name; a title that a process gave itself is cut to its first word."""
    try:
        return process.name().split()[0].rstrip(":")
    except psutil.NoSuchProcess:
        return None


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
