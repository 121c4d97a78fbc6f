"""What `kill -9` hits: each function finds one process of a running arena, and names it."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from tests.faults.arena import Arena
from tests.polling import poll

FIND_SECONDS = 120.0


def driver(arena: Arena) -> int | None:
    """The streaming job's Python process."""
    identity = arena.stream.running
    return identity.pid if identity else None


def jvm(arena: Arena) -> int | None:
    """Spark's JVM, the driver's child."""
    parent = driver(arena)
    return _find(arena, lambda process: process.ppid() == parent and process.name().startswith("java"))


def python_daemon(arena: Arena) -> int | None:
    """The process that Spark's Python workers are forked from. Once killed, it is missing till Spark needs another."""
    spark = jvm(arena)
    return _find(arena, lambda process: _is_forked(process) and process.ppid() == spark)


def python_worker(arena: Arena) -> int | None:
    """One of Spark's Python workers; it outlives its daemon."""
    spark = jvm(arena)
    return _find(arena, lambda process: _is_forked(process) and process.ppid() != spark)


def job_group(arena: Arena) -> int | None:
    """Driver, JVM and the driver's small parent at once; the negative number of their group, as for kill(2)."""
    identity = arena.stream.running
    return -identity.group if identity else None


def kafka_broker(arena: Arena) -> int | None:
    """The broker; supervisord starts it again."""
    return arena.supervisor.states()["kafka"].pid


def postgres(arena: Arena) -> int | None:
    """The postmaster; supervisord starts it again."""
    return arena.supervisor.states()["postgres"].pid


def postgres_backend(arena: Arena) -> int | None:
    """The server's process of the driver's connection; the postmaster then restarts all others too."""
    found = arena.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'fraud_scoring_stream'")
    return int(found[0][0]) if found else None


def producer(arena: Arena) -> int | None:
    """The simulated shop."""
    identity = arena.shop.running
    return identity.pid if identity else None


Target = Callable[[Arena], int | None]
TARGETS: dict[str, Target] = {
    "Spark JVM": jvm,
    "Python driver": driver,
    "Python daemon": python_daemon,
    "Python worker": python_worker,
    "whole job": job_group,
    "Kafka broker": kafka_broker,
    "Postgres": postgres,
    "Postgres backend": postgres_backend,
    "producer": producer,
}


def kill(arena: Arena, name: str) -> float:
    """Kills a target, as soon as it runs, with SIGKILL. Returns when, in epoch seconds."""
    while True:
        pid = poll(lambda: TARGETS[name](arena), FIND_SECONDS, f"a process to kill: {name}")
        try:
            (os.killpg if pid < 0 else os.kill)(abs(pid), signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended by itself between look and kill
        return time.time()


def kill_at_random(arena: Arena, name: str, chance: random.Random, within_seconds: float = 2.0) -> float:
    """The same at a random moment, so that it hits any step of a micro-batch."""
    time.sleep(chance.uniform(0, within_seconds))
    return kill(arena, name)


def _is_forked(process: psutil.Process) -> bool:
    return "spark_jobs.daemon" in process.cmdline()


def _find(arena: Arena, wanted: Callable[[psutil.Process], bool]) -> int | None:
    """A living process of the streaming job's session: who lost its parent stays in that."""
    identity = arena.stream.running
    for process in psutil.process_iter() if identity else ():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            in_job = os.getsid(process.pid) == identity.group
            if in_job and process.status() != psutil.STATUS_ZOMBIE and wanted(process):
                return process.pid
    return None
