"""Ports for servers of tests: none is given twice, by whatever process."""

import socket
import subprocess
import sys

from fraudstream.settings import PROJECT_DIR
from testbed.isolation import PORT_RANGE, free_port

PROGRAM = "from testbed.isolation import free_port; print(*(free_port() for _ in range(200)))"


def test_processes_are_given_different_ports() -> None:
    command = [sys.executable, "-c", PROGRAM]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT_DIR) for _ in range(3)]
    given = [int(port) for process in started for port in process.communicate(timeout=60)[0].split()]
    assert len(given) == len(set(given)) == 600
    assert set(given) <= set(PORT_RANGE)


def test_a_port_that_is_listened_on_is_passed_over() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", following := free_port() + 1))
        server.listen()
        assert free_port() > following
