"""Certificates of erasures, rows of `fraud.erasures`: begun, moved on step by step, finished, and told to people."""

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from fraudstream.errors import FraudstreamError
from fraudstream.policy import audit
from fraudstream.settings import Settings
from fraudstream.storage.connect import Postgres
from fraudstream.storage.salted import hash_of

_COLUMNS = "erasure_id, reason, requested_by, approved_by, requested_at, erased_at, finished_at, counts, control"
_SALT = "SELECT salt FROM fraud.erasures ORDER BY requested_at LIMIT 1"
_OPEN = f"SELECT {_COLUMNS} FROM fraud.erasures WHERE id_hash = %s AND finished_at IS NULL ORDER BY requested_at"  # noqa: S608 (constants)
_BEGIN = f"""
INSERT INTO fraud.erasures (id_hash, salt, reason, requested_by, approved_by) VALUES (%s, %s, %s, %s, %s)
RETURNING {_COLUMNS}
"""  # noqa: S608 (constants)
_ALL = f"SELECT {_COLUMNS} FROM fraud.erasures ORDER BY requested_at DESC"  # noqa: S608 (constants)
_ERASED = """
UPDATE fraud.erasures SET erased_at = greatest(erased_at, clock_timestamp()), counts = %s WHERE erasure_id = %s
RETURNING erased_at
"""
_COUNT = "UPDATE fraud.erasures SET counts = %s WHERE erasure_id = %s"
_CONTROL = "UPDATE fraud.erasures SET control = %s WHERE erasure_id = %s"
_FINISH = "UPDATE fraud.erasures SET finished_at = now() WHERE erasure_id = %s AND finished_at IS NULL"
#: Held while a row is begun, so that two at a time make one.
_LOCK = "SELECT pg_advisory_xact_lock(1163023173)"


class ErasureError(FraudstreamError):
    """An erasure can't be done, or isn't done yet; the message says what to do."""


@dataclass
class Certificate:
    """An erasure. `counts` are rows, files' rows and profiles, by where they were; it holds no id of the customer."""

    erasure_id: UUID
    reason: str
    requested_by: str
    approved_by: str
    requested_at: datetime
    erased_at: datetime | None
    finished_at: datetime | None
    counts: dict[str, int]
    control: dict[str, Any] | None

    def add(self, counts: Mapping[str, int]) -> None:
        """Adds what a step erased: a repeated step finds what the first one left."""
        for place, count in counts.items():
            if count:
                self.counts[place] = self.counts.get(place, 0) + count


def begin(connection: Postgres, customer: str, reason: str, requested_by: str, approved_by: str) -> Certificate:
    """The customer's erasure that is still open, or a new one. What is kept of it names no id."""
    said = [text.replace(customer, "(the customer)") for text in (reason, requested_by, approved_by)]
    with connection.transaction(), connection.cursor(row_factory=class_row(Certificate)) as cursor:
        cursor.execute(_LOCK)
        row = connection.execute(_SALT).fetchone()
        salt = row[0] if row else secrets.token_hex(16)
        id_hash = hash_of(salt, customer)
        if found := cursor.execute(_OPEN, (id_hash,)).fetchone():
            return found
        return cursor.execute(_BEGIN, (id_hash, salt, *said)).fetchall()[0]


def note_erased(connection: Postgres, certificate: Certificate) -> None:
    """Notes that the rows are erased: what Kafka got until now is of the erased."""
    kept = Jsonb(certificate.counts), certificate.erasure_id
    [(certificate.erased_at,)] = connection.execute(_ERASED, kept).fetchall()


def note_counts(connection: Postgres, certificate: Certificate, counts: Mapping[str, int]) -> None:
    """Adds what a step erased."""
    certificate.add(counts)
    connection.execute(_COUNT, (Jsonb(certificate.counts), certificate.erasure_id))


def note_control(connection: Postgres, certificate: Certificate, control: dict[str, Any]) -> None:
    """Notes where the stream's control message lies."""
    certificate.control = control
    connection.execute(_CONTROL, (Jsonb(control), certificate.erasure_id))


def finish(connection: Postgres, certificate: Certificate) -> None:
    """Notes that all is done, once, in the audit log, too."""
    with connection.transaction():
        if connection.execute(_FINISH, (certificate.erasure_id,)).rowcount:
            after = {"reason": certificate.reason, "approved_by": certificate.approved_by, "counts": certificate.counts}
            who, number = certificate.requested_by, str(certificate.erasure_id)
            audit.note(connection, who, "customer erased", number, after=after)


def read(connection: Postgres) -> list[Certificate]:
    """All certificates, the newest first."""
    with connection.cursor(row_factory=class_row(Certificate)) as cursor:
        return cursor.execute(_ALL).fetchall()


def told(certificate: Certificate, settings: Settings) -> Iterator[str]:
    """The certificate for people, in lines."""
    yield f"Certificate of erasure {certificate.erasure_id}"
    yield f"  asked for     {certificate.requested_at:%Y-%m-%d %H:%M %Z} by {certificate.requested_by}"
    yield f"  approved by   {certificate.approved_by}"
    yield f"  reason        {certificate.reason}"
    if certificate.finished_at is None:
        yield "  NOT FINISHED: run the erasure again, with the same customer id; it goes on from there"
    else:
        yield f"  finished      {certificate.finished_at:%Y-%m-%d %H:%M %Z}"
    yield "  erased, or made unrecognisable:"
    yield from (f"    {place}: {count}" for place, count in sorted(certificate.counts.items()))
    if not certificate.counts:
        yield "    nothing was found"
    yield "  ages out by itself:"
    yield from (f"    {line}" for line in ages_out(settings))


def ages_out(settings: Settings) -> list[str]:
    """What an erasure can't reach, and when it goes."""
    keep = settings.retention
    return [
        f"messages in Kafka's topics: {settings.kafka.retention_hours} hours after they were sent; never scored again",
        "older states in the stream's checkpoint: with its next 20 micro-batches, or at a rebuild",
        f"hashes of order ids in fraud.retired_transactions: {keep.repeats_days} days",
        f"Airflow's run and logs of the request: {keep.airflow_days} days",
        f"Superset's log of what people did: {keep.superset_log_days} days",
        "backups from before: as long as you keep them; a restore erases again at the next ./fraudctl up",
    ]


def as_json(certificate: Certificate) -> str:
    """The certificate as JSON, one line."""
    return json.dumps(msgspec.to_builtins(certificate))
