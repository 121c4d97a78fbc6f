"""Checks of this machine before the platform runs: each problem in one line, with what to do."""

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from fraudstream import failpoints
from fraudstream.errors import FraudstreamError
from fraudstream.kafka import access as kafka_access
from fraudstream.kafka.errors import KafkaUnavailableError
from fraudstream.kafka.sources import missing_sources
from fraudstream.local.install import environments
from fraudstream.local.install.java import JavaError, find_java
from fraudstream.local.leftovers import our_processes
from fraudstream.local.parts import kafka, postgres
from fraudstream.messages.mapping.sources import LiveSource, SourceError, read_sources
from fraudstream.messages.mapping.sources import problems as source_problems
from fraudstream.settings import Settings
from fraudstream.storage import pooler

GIB = 2**30
NEEDED_MEMORY_GIB = 6
INSTALL_DISK_GIB = 6
RUN_DISK_GIB = 1
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


class DoctorError(FraudstreamError):
    """The machine lacks something."""


def check(settings: Settings, *, servers: bool = False) -> None:
    """Raises DoctorError with a line a problem. `servers`: of servers of your own, too, which have to run by now."""
    problems = [*find_problems(settings), *(find_server_problems(settings) if servers else ())]
    if problems:
        raise DoctorError("this machine isn't ready:\n" + "\n".join(f"  - {problem}" for problem in problems))


def find_problems(settings: Settings) -> Iterator[str]:
    """Every problem, in one line each."""
    yield from _platform()
    yield from _java()
    yield from _disk(settings)
    yield from _namespaces(settings)
    yield from _failpoints(settings)
    yield from source_problems(settings.sources)
    ours = our_processes(settings)
    if not ours:
        yield from _memory()
    yield from _ports(settings, {process.pid for process in ours})


def find_server_problems(settings: Settings) -> Iterator[str]:
    """Reasons why your own Kafka and Postgres can't be used, a line each."""
    yield from find_kafka_problems(settings)
    if not settings.kafka.embedded:
        yield from find_source_problems(settings)
    if not settings.postgres.embedded:
        yield from pooler.problems(settings)


def find_kafka_problems(settings: Settings) -> Iterator[str]:
    """Reasons why your own Kafka can't be used, a line each."""
    if not settings.kafka.embedded:
        found = _readable_sources(settings)
        yield from kafka_access.problems(settings.kafka, kafka.YOURS_SECONDS, [source.topic for source in found])


def find_source_problems(settings: Settings) -> Iterator[str]:
    """Sources whose topic isn't in Kafka, a line each. Without Kafka, which has to run by now, the reason."""
    try:
        yield from missing_sources(settings.kafka, _readable_sources(settings), kafka.YOURS_SECONDS)
    except KafkaUnavailableError as error:
        yield str(error)


def _readable_sources(settings: Settings) -> tuple[LiveSource, ...]:
    """None where a file is wrong, of which `find_problems` tells."""
    try:
        return read_sources(settings.sources)
    except SourceError:
        return ()


def _platform() -> Iterator[str]:
    if platform.system() != "Linux":
        yield f"the native runtime needs Linux, this is {platform.system()}: use docker compose"
    if sys.version_info[:2] != (3, 11):
        yield f"Python 3.11 is needed, this is {sys.version.split()[0]}: set FRAUDSTREAM_PYTHON to a Python 3.11"


def _java() -> Iterator[str]:
    try:
        find_java()
    except JavaError as error:
        yield str(error)


def _memory() -> Iterator[str]:
    available = psutil.virtual_memory().available / GIB
    limit = CGROUP_LIMIT.read_text().strip() if CGROUP_LIMIT.is_file() else "max"
    if limit != "max":
        available = min(available, int(limit) / GIB)
    if available < NEEDED_MEMORY_GIB:
        yield f"{available:.1f} GiB of memory are available, {NEEDED_MEMORY_GIB} are needed: stop other programs"


def _disk(settings: Settings) -> Iterator[str]:
    folder = settings.paths.var
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        yield f"{folder} is not writable: change its owner, or set FRAUDSTREAM_VAR_DIR to a folder of yours"
    installed = all(environments.ready(settings, runtime) for runtime in ("spark", "airflow", "superset"))
    needed = RUN_DISK_GIB if installed else INSTALL_DISK_GIB
    free = psutil.disk_usage(str(folder)).free / GIB
    if free < needed:
        yield f"{free:.1f} GiB are free under {folder}, {needed} are needed: free some, or set FRAUDSTREAM_VAR_DIR"


def _namespaces(settings: Settings) -> Iterator[str]:
    if settings.postgres.embedded and os.geteuid() == 0 and not postgres.namespaces_work():
        yield (
            "PostgreSQL can't run as root, and this machine allows no user namespaces (unshare --user): run fraudctl "
            "as an ordinary user, or set FRAUDSTREAM_POSTGRES__HOST (__PORT, __ADMIN_PASSWORD) to a server of yours"
        )


def _failpoints(settings: Settings) -> Iterator[str]:
    if found := failpoints.problem(settings.stream.failpoints):
        yield found


def _wanted_ports(settings: Settings) -> dict[str, int]:
    ports = {"AIRFLOW__PORT": settings.airflow.port, "SUPERSET__PORT": settings.superset.port}
    if settings.kafka.embedded:
        ports |= {"KAFKA__PORT": settings.kafka.port, "KAFKA__CONTROLLER_PORT": settings.kafka.controller_port}
    if settings.postgres.embedded:
        ports["POSTGRES__PORT"] = settings.postgres.port
    return ports


def _ports(settings: Settings, ours: set[int]) -> Iterator[str]:
    wanted = _wanted_ports(settings)
    for name, port in wanted.items():
        twin = next((other for other, value in wanted.items() if value == port and other > name), None)
        if twin:
            yield f"FRAUDSTREAM_{name} and FRAUDSTREAM_{twin} are both {port}: change one"
    listening = {
        connection.laddr.port: connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr
    }
    for name, port in wanted.items():
        if port in listening and listening[port] not in ours:
            yield (
                f"port {port} is in use by {_describe(listening[port])}: stop it, "
                f"or set FRAUDSTREAM_{name} to a free port"
            )


def _describe(pid: int | None) -> str:
    if pid is None:
        return "another user's process"
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"
