"""Readings: what the checks and the dashboard *Operations* need, and no other table holds."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from cryptography import x509

from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.ledger.figures import MESSAGES
from fraudstream.messages.mapping.sources import input_topics
from fraudstream.settings import Settings
from fraudstream.settings.kafka import KafkaAccount, Role
from fraudstream.snapshots.folders import newest_first
from fraudstream.storage.connect import Postgres

ANSWER_SECONDS = 10.0
DAY, HOUR = 86_400, 3_600

_POSITIONS = "SELECT topic, kafka_partition, next_offset FROM fraud.stream_offsets"
# Of the time between two runs, so that the dashboard needn't read the ledger's days.
_LEDGER = f"""
    WITH recent AS (
        SELECT * FROM fraud.stream_batches WHERE committed_at > now() - interval '2 minutes'
    )
    SELECT 'p50_ms', '', percentile_cont(0.5) WITHIN GROUP (ORDER BY latencies_ms[1]) FROM recent WHERE scored > 0
    UNION ALL SELECT 'p99_ms', '', max(latencies_ms[3]) FROM recent WHERE scored > 0
    UNION ALL SELECT 'messages_per_second', '', coalesce(sum({MESSAGES}), 0)::float8 / 120 FROM recent
    UNION ALL SELECT 'epoch', '', max(epoch) FROM fraud.stream_queries
    UNION ALL SELECT 'differences', '', count(*) FROM fraud.reconciliation_differences WHERE acknowledged_at IS NULL
    UNION ALL SELECT 'dead_letters', reason, count(*) FROM fraud.dead_letters
        WHERE batch_id IN (SELECT batch_id FROM recent WHERE dead_lettered > 0) GROUP BY reason
"""  # noqa: S608 (constants)
_KEEP = """
    INSERT INTO fraud.platform_readings (at, reading, place, value)
    SELECT statement_timestamp(), * FROM unnest(%s::text[], %s::text[], %s::float8[])
    ON CONFLICT DO NOTHING
"""
_FORGET = "DELETE FROM fraud.platform_readings WHERE at < now() - %s * interval '1 day'"


@dataclass(frozen=True)
class Reading:
    """A number read now: `name` says what and in which unit, `place` of what."""

    name: str
    place: str
    value: float


def local(settings: Settings) -> tuple[list[Reading], dict[str, str]]:
    """What this machine's files tell, and for each check whose files couldn't be read, why."""
    found: list[Reading] = []
    failed = {}
    for check, read in _LOCAL.items():
        try:
            found.extend(read(settings))  # also what was read before one that can't be
        except (OSError, ValueError) as error:
            failed[check] = f"{error}: mend that file, or wait for the next run if it was just written"
    return found, failed


def ledger(connection: Postgres) -> list[Reading]:
    """Figures of the last two minutes' micro-batches; what nothing was scored for isn't among them."""
    return [Reading(*row) for row in connection.execute(_LEDGER.encode()) if row[2] is not None]


def lag(settings: Settings, connection: Postgres) -> list[Reading]:
    """Messages of each input topic that the stream hasn't read.

    Raises KafkaUnavailableError, SourceError, psycopg.Error.
    """
    kafka, topics = settings.kafka.as_role(Role.READER), input_topics(settings)
    begins = kafka_offsets.earliest(kafka, topics, ANSWER_SECONDS)
    reached = {(topic, partition): offset for topic, partition, offset in connection.execute(_POSITIONS)}
    ends = kafka_offsets.latest(kafka, topics, ANSWER_SECONDS)
    return [
        Reading(
            "lag",
            topic,
            kafka_offsets.unread({place: end for place, end in ends.items() if place[0] == topic}, begins | reached),
        )
        for topic in topics
    ]


def keep(connection: Postgres, readings: list[Reading], days: float) -> None:
    """Keeps readings, all of one moment, and forgets those that are older than `days`. Raises psycopg.Error."""
    columns = zip(*((reading.name, reading.place, float(reading.value)) for reading in readings), strict=True)
    connection.execute(_KEEP, tuple(list(column) for column in columns))
    connection.execute(_FORGET, (days,))


def _disks(settings: Settings) -> Iterator[Reading]:
    usage = psutil.disk_usage(str(settings.paths.var))
    yield Reading("disk_free_bytes", str(settings.paths.var), usage.free)
    yield Reading("disk_size_bytes", str(settings.paths.var), usage.used + usage.free)


def _certificates(settings: Settings) -> Iterator[Reading]:
    """Of the files that clients of Kafka sign in with, and of the CA; each file once, by its first to expire."""
    kafka = settings.kafka
    accounts: list[KafkaAccount] = [kafka, *(getattr(kafka, role) for role in Role)]
    files = {kafka.ssl_ca_file, *(account.ssl_certificate_file for account in accounts)}
    for file in sorted(file for file in files if file and kafka.uses_tls):
        yield Reading("certificate_days", str(file), days_left(file))


def days_left(file: Path) -> float:
    """Days until the first certificate of a PEM file expires. Raises OSError, or ValueError for one that isn't PEM."""
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file} has no certificate that can be read: {error}") from error
    expire = (certificate.not_valid_after_utc for certificate in found)
    return (min(expire) - datetime.now(UTC)).total_seconds() / DAY


def _secrets(settings: Settings) -> Iterator[Reading]:
    """Ages of the generated secrets: the files' times."""
    folder = settings.paths.secrets
    files = [file for file in folder.iterdir() if file.is_file()] if folder.is_dir() else []
    # Written anew at each start; the others are as old as their secret.
    made_of_others = {settings.paths.pgpass, settings.paths.credentials}
    for file in sorted(set(files) - made_of_others):
        yield Reading("secret_days", file.name, (time.time() - file.stat().st_mtime) / DAY)


def _snapshots(settings: Settings) -> Iterator[Reading]:
    for snapshot in newest_first(settings.paths.snapshots)[:1]:
        age = datetime.now(UTC) - snapshot.manifest.made_at
        yield Reading("snapshot_hours", "", age.total_seconds() / HOUR)


def _backups(settings: Settings) -> Iterator[Reading]:
    if settings.paths.backed_up.is_file():
        yield Reading("backup_hours", "", (time.time() - settings.paths.backed_up.stat().st_mtime) / HOUR)


#: By the check that they are for.
_LOCAL = {
    "disk": _disks,
    "certificates": _certificates,
    "secrets": _secrets,
    "snapshot": _snapshots,
    "backup": _backups,
}
