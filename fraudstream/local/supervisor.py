"""supervisord keeps our processes; this talks to it over its Unix socket (mode 0700, in a folder of mode 0700)."""

import os
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from supervisor.xmlrpc import SupervisorTransport, UnixStreamHTTPConnection

from fraudstream.errors import FraudstreamError
from fraudstream.files import private_folder, write_atomically
from fraudstream.local.parts.part import Part
from fraudstream.local.supervisord_config import escape, log_file, render, render_environment
from fraudstream.settings import Settings
from fraudstream.settings.exports import exported_environment, secret_variables

#: sockaddr_un's limit, less the terminating zero and supervisord's own suffix (`.` and its pid).
SOCKET_PATH_BYTES = 98
RPC_SECONDS = 5.0
START_SECONDS = 15.0
#: supervisord's process states (supervisord.org/subprocess.html).
STARTING_STATES = frozenset({"STARTING", "BACKOFF"})
ACTIVE_STATES = STARTING_STATES | {"RUNNING", "STOPPING"}


class SupervisorError(FraudstreamError):
    """supervisord doesn't start, doesn't answer, or can't keep a part running."""


@dataclass(frozen=True)
class ProcessState:
    """Supervisord's report on a part. `state` is RUNNING, STOPPED, FATAL …; `pid` is None unless it runs."""

    name: str
    state: str
    pid: int | None
    started: float
    description: str


class _Connection(UnixStreamHTTPConnection):  # type: ignore[misc]
    """supervisor's own connection has no timeout: a stopped supervisord would hang us."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(RPC_SECONDS)
        self.sock.connect(self.socketfile)


class _Transport(SupervisorTransport):  # type: ignore[misc]
    def __init__(self, path: str) -> None:
        super().__init__(serverurl=f"unix://{path}")

        def connection() -> _Connection:
            made = _Connection("localhost")
            made.socketfile = path
            return made

        self._get_connection = connection


class Supervisor:
    """The one supervisord of a `var` folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        run = settings.paths.run
        self.socket = run / "supervisor.sock"
        self.config = run / "supervisord.conf"
        self.pid_file = run / "supervisord.pid"
        self.log = settings.paths.logs / "supervisord.log"
        if len(os.fsencode(self.socket)) > SOCKET_PATH_BYTES:
            raise SupervisorError(
                f"FRAUDSTREAM_VAR_DIR={settings.paths.var} is too long for a Unix socket: choose a shorter path"
            )

    @property
    def server_url(self) -> str:
        """Value that supervisord puts into SUPERVISOR_SERVER_URL of everything that it starts."""
        return f"unix://{self.socket}"

    def answers(self) -> bool:
        """True when supervisord is alive and serving."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except SupervisorError:
            return False

    def apply(self, parts: Iterable[Part]) -> None:
        """Writes the configuration, starts supervisord when needed, and restarts parts whose definition changed."""
        private_folder(self._settings.paths.run)
        self._settings.paths.logs.mkdir(parents=True, exist_ok=True)
        parts = list(parts)
        for part in parts:
            part.directory.mkdir(parents=True, exist_ok=True)
        write_atomically(self.config, self._render(parts))
        if self.answers():
            self._reload()
        else:
            self._start()

    def states(self) -> dict[str, ProcessState]:
        """Every part's state. Raises SupervisorError when supervisord doesn't answer."""
        return {
            info["name"]: ProcessState(
                info["name"], info["statename"], info["pid"] or None, float(info["start"]), info["description"]
            )
            for info in self._call("getAllProcessInfo")
        }

    def start(self, *names: str) -> None:
        """Starts parts that aren't running, without waiting."""
        states = self.states()
        for name in names:
            if states[name].state not in ACTIVE_STATES:
                self._call("startProcess", name, False)

    def stop(self, *names: str, timeout: float = 60.0) -> None:
        """Stops parts and waits. Raises SupervisorError for one that doesn't end."""
        states = self.states()
        wanted = [name for name in names if name in states and states[name].state in ACTIVE_STATES]
        for name in wanted:
            if states[name].state != "STOPPING":
                self._call("stopProcess", name, False)
        deadline = time.monotonic() + timeout
        while left := [name for name in wanted if self.states()[name].state in ACTIVE_STATES]:
            if time.monotonic() > deadline:
                raise SupervisorError(f"{', '.join(left)} did not stop within {timeout:.0f} s: read {self.log}")
            time.sleep(0.1)

    def check(self, *names: str) -> None:
        """Raises SupervisorError when supervisord has given up on one of these parts."""
        states = self.states()
        for name in names:
            if states[name].state in {"FATAL", "EXITED", "UNKNOWN"}:
                log = log_file(self._settings.paths.logs, name)
                raise SupervisorError(f"{name} does not stay up ({states[name].description}): read {log}")

    def shutdown(self, timeout: float = 30.0) -> None:
        """Ends supervisord, which first stops whatever still runs."""
        pid = self._call("getPID")
        self._call("shutdown")
        deadline = time.monotonic() + timeout
        while _alive(pid):
            if time.monotonic() > deadline:
                raise SupervisorError(f"supervisord (pid {pid}) did not end within {timeout:.0f} s: read {self.log}")
            time.sleep(0.1)

    def _call(self, method: str, *arguments: object) -> Any:
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=cast(Any, _Transport(str(self.socket))))
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except (OSError, xmlrpc.client.Error) as error:
            raise SupervisorError(f"supervisord doesn't do {method} ({error}): read {self.log}") from error
        finally:
            proxy("close")()

    def _start(self) -> None:
        self.socket.unlink(missing_ok=True)
        command = (sys.executable, "-m", "supervisor.supervisord", "-c", str(self.config))
        # What it inherits, all parts do: a secret is in the environment of those that need it (Part.environment).
        environment = {name: value for name, value in os.environ.items() if name not in set(secret_variables())}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode:
            raise SupervisorError(f"supervisord does not start: {(done.stderr or done.stdout).strip()[-300:]}")
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if time.monotonic() > deadline:
                raise SupervisorError(f"supervisord does not answer within {START_SECONDS:.0f} s: read {self.log}")
            time.sleep(0.05)

    def _reload(self) -> None:
        """Like `supervisorctl update`: removes, replaces and adds parts; unchanged ones keep running."""
        added, changed, removed = self._call("reloadConfig")[0]
        for name in [*changed, *removed]:
            self.stop(name)
            self._call("removeProcessGroup", name)
        for name in [*added, *changed]:
            self._call("addProcessGroup", name)

    def _render(self, parts: Iterable[Part]) -> str:
        environment = exported_environment(self._settings)
        head = (
            "[unix_http_server]\n"
            f"file={escape(str(self.socket))}\nchmod=0700\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            "[supervisord]\n"
            f"logfile={escape(str(self.log))}\nlogfile_maxbytes=5MB\nlogfile_backups=2\nloglevel=info\n"
            f"pidfile={escape(str(self.pid_file))}\nchildlogdir={escape(str(self.log.parent))}\n"
            f"directory={escape(str(self._settings.paths.project))}\nminfds=4096\numask=022\n"
            f"environment={render_environment(environment)}\n"
        )
        return head + "".join(render(part, self.log.parent) for part in parts)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
