"""A pooler before a real Postgres, for tests: a connection gets a session for each transaction, or one for good.

As PgBouncer does with `pool_mode`: it speaks the protocol's start itself, refuses start-up options, and hands a session
on when the server says that no transaction is open (the status byte of ReadyForQuery). Messages in pipelines and COPY,
which no test sends, aren't understood.
"""

import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Literal

from fraudstream.settings import Settings
from fraudstream.storage.connect import Postgres, connect

Mode = Literal["transaction", "session"]

STARTUP = 196608  # version 3.0 of the protocol; other codes ask for encryption
READY = b"Z\0\0\0\x05I"  # ReadyForQuery, and no transaction is open
TOLD = ("server_version", "server_encoding", "client_encoding", "standard_conforming_strings", "TimeZone")


class Pooler:
    """Sessions that were opened, by role and database; those that are idle wait in `_idle`, the last one first."""

    def __init__(self, settings: Settings, mode: Mode) -> None:
        self._settings = settings
        self._mode = mode
        self._idle: dict[tuple[str, str], list[Postgres]] = defaultdict(list)
        self._opened: list[Postgres] = []

    def serve(self, client: socket.socket) -> None:
        """Answers a client until it goes. In session mode nobody gets a session that another one had."""
        session: Postgres | None = None
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client, suppress(ConnectionError):
            while (start := _start(client)) is None:
                client.sendall(b"N")  # no encryption
            if "options" in start:
                client.sendall(_message(b"E", b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"))
                return
            place = start["user"], start["database"]
            taken = self._take(place)
            greeting = _greeting(taken)
            session = self._kept(taken, place)
            client.sendall(greeting)
            while (message := _read(client))[:1] != b"X":
                taken = session or self._take(place)
                session = taken
                for answer in _answers(message, taken):
                    if answer == READY:  # handed on before the client knows: its neighbour's next question finds it
                        session = self._kept(taken, place)
                    client.sendall(answer)
        if session:
            session.close()

    def close(self) -> None:
        """Ends all sessions."""
        for session in self._opened:
            session.close()

    def _kept(self, session: Postgres, place: tuple[str, str]) -> Postgres | None:
        """The session, in which no transaction is open; None once it waits for whoever comes next."""
        if self._mode == "session":
            return session
        self._idle[place].append(session)
        return None

    def _take(self, place: tuple[str, str]) -> Postgres:
        with suppress(IndexError):
            return self._idle[place].pop()
        self._opened.append(connect(self._settings, *place, name="a pooler", autocommit=True))
        return self._opened[-1]


@contextmanager
def pooled(settings: Settings, mode: Mode) -> Iterator[Settings]:
    """Settings that lead through a pooler to the Postgres of `settings`."""
    pooler = Pooler(settings, mode)
    with socket.create_server(("127.0.0.1", 0)) as server, closing(pooler):

        def accept() -> None:
            with suppress(OSError):  # the server was closed
                while True:
                    threading.Thread(target=pooler.serve, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        postgres = settings.postgres.model_copy(update={"host": "127.0.0.1", "port": server.getsockname()[1]})
        yield settings.model_copy(update={"postgres": postgres})
        server.shutdown(socket.SHUT_RDWR)


def _start(client: socket.socket) -> dict[str, str] | None:
    """The parameters of a client's first message; None when it asks for encryption."""
    length, code = struct.unpack("!ii", _exactly(client, 8))
    fields = _exactly(client, length - 8).decode().split("\0")
    return dict(zip(fields[::2], fields[1::2], strict=False)) if code == STARTUP else None


def _greeting(session: Postgres) -> bytes:
    """The client is let in, its server is described, its key (nobody's) given, and it may ask."""
    parameters = ((name, session.info.parameter_status(name) or "") for name in TOLD)
    described = b"".join(_message(b"S", f"{name}\0{value}\0".encode()) for name, value in parameters)
    return _message(b"R", bytes(4)) + described + _message(b"K", bytes(8)) + _message(b"Z", b"I")


def _answers(message: bytes, session: Postgres) -> Iterator[bytes]:
    """Sends a message on; what the server answers to a query's last one."""
    with socket.socket(fileno=socket.dup(session.fileno())) as server:
        server.setblocking(True)
        server.sendall(message)
        answer = b""
        while message[:1] in b"QS" and answer[:1] != b"Z":
            answer = _read(server)
            yield answer


def _message(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("!i", len(content) + 4) + content


def _read(sender: socket.socket) -> bytes:
    head = _exactly(sender, 5)
    return head + _exactly(sender, struct.unpack("!i", head[1:])[0] - 4)


def _exactly(sender: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        if not (more := sender.recv(count - len(got))):
            raise ConnectionResetError
        got += more
    return got
