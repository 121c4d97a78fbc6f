"""Addresses on which our processes listen: loopback only."""

from collections.abc import Iterator
from ipaddress import ip_address

import psutil

from fraudstream.local.leftovers import our_processes
from fraudstream.local.security.finding import Finding, failed, ok, unchecked
from fraudstream.settings import Settings


def check(settings: Settings) -> Iterator[Finding]:
    """No process of ours accepts connections from another machine."""
    ours = {process.pid: process for process in our_processes(settings)}
    if not ours:
        yield unchecked("nothing runs, so nothing listens", "look again after ./fraudctl up")
        return
    listening = sorted(
        (connection.pid, connection.laddr.ip, connection.laddr.port)
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.pid in ours and connection.laddr
    )
    exposed = [(pid, ip, port) for pid, ip, port in listening if not is_loopback(ip)]
    for pid, ip, port in exposed:
        yield failed(
            f"{_describe(ours[pid])} listens on {ip}:{port}, where other machines reach it",
            "bind it to 127.0.0.1, and put a proxy with TLS and sign-in before what others should reach",
        )
    if not exposed:
        yield ok(f"{len(listening)} listeners of {len(ours)} processes are on loopback")


def is_loopback(host: str) -> bool:
    """True when an address, or the name `localhost`, can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.name()} (pid {process.pid})"
    except psutil.Error:
        return f"pid {process.pid}"
