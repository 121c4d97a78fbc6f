"""The erasure of one customer, and the search for what is left of the customer."""

import re
import subprocess
from pathlib import Path
from typing import Any

import psycopg

from fraudstream.erasure import certificate
from fraudstream.erasure import erase as erasing
from fraudstream.erasure.erase import Request
from fraudstream.local.parts.postgres import binary
from fraudstream.messages.contracts import QUERY
from fraudstream.settings import Settings

Postgres = psycopg.Connection[Any]
CUSTOMER, OTHER = "shopper-0017", "shopper-00171"
#: All that names the customer: a trace of one of these is a fault.
TRACES = (CUSTOMER, "order-of-0017", "device-of-0017", "card-of-0017", "visit-of-0017")
_TRACE = re.compile("|".join(f"{re.escape(name)}(?![0-9])" for name in TRACES).encode())


def let_the_stream_pass(writer: Postgres) -> None:
    """As if it had read all browse events, the control message among them."""
    for partition in range(2):
        writer.execute(
            "INSERT INTO fraud.stream_offsets (query, topic, kafka_partition, next_offset, first_offset, scored, "
            "browse_events, labels, dead_lettered, duplicates) "
            "VALUES (%s, 'browse-events', %s, 1000000000, 1000000000, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING",
            (QUERY, partition),
        )


def forget(settings: Settings, **more: Any) -> certificate.Certificate:
    request = Request(CUSTOMER, f"request 1 of {CUSTOMER}", "ann", "bob")
    return erasing.erase(settings, request, **({"wait_seconds": 10.0} | more))


def dump(settings: Settings) -> bytes:
    done = subprocess.run(
        [binary("pg_dump"), "--dbname", settings.dsn(settings.postgres.admin), "--schema", "fraud"],
        capture_output=True,
        check=True,
    )
    return done.stdout


def traces(content: bytes) -> set[bytes]:
    return set(_TRACE.findall(content))


def traces_in(folder: Path) -> set[bytes]:
    return {found for file in folder.rglob("*") if file.is_file() for found in traces(file.read_bytes())}
