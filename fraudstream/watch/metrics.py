"""Metrics: the platform's figures under names and units that monitoring systems know."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg

from fraudstream.jobs.jobs import jobs
from fraudstream.ledger import figures
from fraudstream.settings import Settings
from fraudstream.storage.connect import QUICK_SECONDS, Postgres, session
from fraudstream.watch.checks import FRESH

BEGINS_WITH = {"statement_timeout": "3s", "default_transaction_read_only": "on"}
MS = 1000


class MetricType(StrEnum):
    """Types of metrics, as Prometheus spells them."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True)
class Metric:
    """A metric. A counter's name ends in `_total`; units are base units, and stand in the name."""

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """A metric's value now, for these values of its labels."""

    metric: str
    value: float
    labels: tuple[str, ...] = ()


def _counter(name: str, told: str, *labels: str) -> Metric:
    return Metric(name, MetricType.COUNTER, told, labels)


def _gauge(name: str, told: str, *labels: str) -> Metric:
    return Metric(name, MetricType.GAUGE, told, labels)


#: Readings of watch_platform, each with its metric and what its value is multiplied with.
READINGS = {
    "lag": ("fraudstream_lag_messages", 1.0),
    "disk_free_bytes": ("fraudstream_disk_free_bytes", 1.0),
    "disk_size_bytes": ("fraudstream_disk_size_bytes", 1.0),
    "certificate_days": ("fraudstream_certificate_expires_seconds", 86_400.0),
    "secret_days": ("fraudstream_secret_age_seconds", 86_400.0),
    "snapshot_hours": ("fraudstream_snapshot_age_seconds", 3_600.0),
    "backup_hours": ("fraudstream_backup_age_seconds", 3_600.0),
}
METRICS = (
    _gauge("fraudstream_ledger_up", "1 when the ledger in Postgres can be read, else 0, and most others are missing"),
    _counter("fraudstream_messages_total", "messages read since the first start, by what became of them", "outcome"),
    _counter("fraudstream_flagged_total", "transactions that were flagged"),
    _counter("fraudstream_late_total", "transactions that arrived after the allowed lateness"),
    _counter("fraudstream_lost_messages_total", "messages that a person gave up unread"),
    _gauge("fraudstream_last_batch_age_seconds", "since the newest micro-batch was committed"),
    _gauge("fraudstream_messages_per_second", "messages read, on average of the last minute"),
    _gauge("fraudstream_latency_seconds", "from Kafka's arrival to commit, of the last minute", "quantile"),
    _gauge("fraudstream_differences_open", "differences of the books that nobody has acknowledged"),
    _gauge("fraudstream_incidents_open", "open incidents", "severity"),
    _gauge("fraudstream_alerts_open", "alerts of the newest day that nobody has decided"),
    _gauge("fraudstream_readings_age_seconds", "since watch_platform read the following: over 300 it doesn't run"),
    _gauge("fraudstream_lag_messages", "messages that the stream hasn't read", "place"),
    _gauge("fraudstream_disk_free_bytes", "free on the disk of a folder", "place"),
    _gauge("fraudstream_disk_size_bytes", "used and free on the disk of a folder", "place"),
    _gauge("fraudstream_certificate_expires_seconds", "until the first certificate of a file expires", "place"),
    _gauge("fraudstream_secret_age_seconds", "since a generated secret was made", "place"),
    _gauge("fraudstream_snapshot_age_seconds", "since the newest profile snapshot was made", "place"),
    _gauge("fraudstream_backup_age_seconds", "since the newest backup was made", "place"),
    _gauge("fraudstream_job_up", "1 while a process of the job is alive", "job"),
    _gauge("fraudstream_job_heartbeat_age_seconds", "since the job's newest heartbeat", "job"),
    _gauge("fraudstream_model_info", "1; which model versions score, and as what", "version", "status"),
)

_OUTCOMES = ("scored", "browse_events", "labels", "dead_lettered", "duplicates", "skipped")
_DIFFERENCES = "SELECT count(*) FROM fraud.reconciliation_differences WHERE acknowledged_at IS NULL"
_INCIDENTS = """
    SELECT severity, count(incident_id) FROM unnest(ARRAY['warning', 'critical']) AS severity
    LEFT JOIN (SELECT incident_id, severity FROM fraud.incidents WHERE closed_at IS NULL) AS open USING (severity)
    GROUP BY severity ORDER BY severity
"""
_ALERTS = "SELECT count(*) FROM fraud.fraud_alerts WHERE status = 'open' AND event_time > now() - interval '1 day'"
_READINGS = f"""
    SELECT DISTINCT ON (reading, place) reading, place, value FROM fraud.platform_readings
    WHERE at > now() - {FRESH} ORDER BY reading, place, at DESC
"""  # noqa: S608 (constants)
_READINGS_AGE = "SELECT extract(epoch FROM clock_timestamp() - max(at))::float8 FROM fraud.platform_readings"
_MODELS = "SELECT version, status FROM fraud.model_versions WHERE status <> 'archived' ORDER BY version"


def collect(settings: Settings) -> list[Sample]:
    """Everything now. Without Postgres, the jobs alone, and `fraudstream_ledger_up` is 0."""
    samples = list(_jobs(settings))
    reader = settings.postgres.reader
    try:
        with session(settings, reader, name="metrics", timeout=QUICK_SECONDS, begins_with=BEGINS_WITH) as connection:
            samples += _ledger(connection)
    except psycopg.Error:
        return [*samples, Sample("fraudstream_ledger_up", 0)]
    return [*samples, Sample("fraudstream_ledger_up", 1)]


def table() -> str:
    """The metrics as a table in Markdown, as docs/metrics.md shows it."""
    rows = [
        f"| `{metric.name}` | {metric.type} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |"
        for metric in METRICS
    ]
    return "\n".join(["| metric | type | labels | what |", "| --- | --- | --- | --- |", *rows, ""])


def _jobs(settings: Settings) -> Iterator[Sample]:
    for name, job in jobs(settings).items():
        state = job.state(settings)
        yield Sample("fraudstream_job_up", state.pid is not None, (name,))
        yield from _known("fraudstream_job_heartbeat_age_seconds", state.heartbeat_age_s, (name,))


def _ledger(connection: Postgres) -> Iterator[Sample]:
    totals, rates = figures.totals(connection), figures.rates(connection)
    for outcome in _OUTCOMES:
        yield Sample("fraudstream_messages_total", getattr(totals, outcome), (outcome,))
    yield Sample("fraudstream_flagged_total", totals.flagged)
    yield Sample("fraudstream_late_total", totals.late)
    yield Sample("fraudstream_lost_messages_total", totals.lost)
    yield from _known("fraudstream_last_batch_age_seconds", rates.last_batch_age_s)
    yield Sample("fraudstream_messages_per_second", rates.messages_per_s)
    for quantile, ms in (("0.5", rates.p50_ms), ("0.99", rates.p99_ms)):
        yield from _known("fraudstream_latency_seconds", None if ms is None else ms / MS, (quantile,))
    yield Sample("fraudstream_differences_open", _number(connection, _DIFFERENCES))
    yield from (Sample("fraudstream_incidents_open", count, (name,)) for name, count in connection.execute(_INCIDENTS))
    yield Sample("fraudstream_alerts_open", _number(connection, _ALERTS))
    yield from _known("fraudstream_readings_age_seconds", _number(connection, _READINGS_AGE))
    for reading, place, value in connection.execute(_READINGS):
        if reading in READINGS:  # the others are above, and newer
            metric, factor = READINGS[reading]
            yield Sample(metric, value * factor, (place,))
    yield from (Sample("fraudstream_model_info", 1, tuple(row)) for row in connection.execute(_MODELS))


def _known(metric: str, value: float | None, labels: tuple[str, ...] = ()) -> Iterator[Sample]:
    """A sample, or none of what isn't known: 0 would be a lie."""
    if value is not None:
        yield Sample(metric, value, labels)


def _number(connection: Postgres, query: str) -> Any:
    ((value,),) = connection.execute(query.encode()).fetchall()
    return value
