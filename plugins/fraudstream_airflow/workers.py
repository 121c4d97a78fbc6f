"""Ends what a killed scheduler leaves behind: the idle workers of its LocalExecutor.

They wait for ever, each on its queue that nobody fills any more, and hold its connection to the database open. A worker
with a task goes on until that ends; Postgres lets go what the dead scheduler had locked (`AIRFLOW_SETTINGS` of
`fraudstream.storage.roles`).
"""

import logging
import os
from contextlib import suppress

import psutil

IDLE = "airflow worker -- LocalExecutor: <idle>"

log = logging.getLogger(__name__)


def end_idle_workers() -> list[int]:
    """Kills idle workers of this session whose scheduler is gone. Returns their process ids."""
    session = os.getsid(0)
    ended = []
    for process in psutil.process_iter(["cmdline"]):
        with suppress(psutil.Error, ProcessLookupError):
            if " ".join(process.info["cmdline"] or ()).strip() == IDLE and _is_orphan(process, session):
                process.kill()
                ended.append(process.pid)
    if ended:
        log.warning("Ended idle workers of a scheduler that was killed: processes %s", ended)
    return ended


def _is_orphan(process: psutil.Process, session: int) -> bool:
    """True for a process of this session (all that one supervisor started) whose parent is not."""
    return os.getsid(process.pid) == session and os.getsid(process.ppid()) != session
