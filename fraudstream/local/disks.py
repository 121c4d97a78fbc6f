"""Disks that hold the platform's data, and what a day adds to them."""

from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from fraudstream.settings import Settings

GIB = 2**30
#: Bytes of a day at one event a second, measured at 150 (docs/production.md): Kafka, and the tables by their setting.
MEASURED_RATE = 150
KAFKA_MB = 3600
TABLES_MB = {"transactions_days": 628, "labels_days": 70, "ledger_days": 72}
#: Rollups: fine ones a day; of minutes about half of them; of hours a fiftieth.
SALES_MB = 121
#: Of each day's transactions, once they are deleted: what tells a repeat.
REPEATS_MB = 110


@dataclass(frozen=True)
class Cost:
    """Disk space in GB at the producer's rate: what a day adds, and what it comes to when retention takes as much."""

    day: float
    steady: float


def problems(settings: Settings) -> Iterator[str]:
    """A line when the disk of the platform's data has less free than the settings ask for."""
    limit, folder = settings.retention.disk_free_percent, settings.paths.var
    if not folder.exists():
        return
    usage = psutil.disk_usage(str(folder))
    free = 100 * usage.free / (usage.used + usage.free)
    if free < limit:
        yield (
            f"{free:.0f} % ({usage.free / GIB:.1f} GiB) of the disk of {folder} are free, less than {limit:g} %: free "
            "some, or lower FRAUDSTREAM_RETENTION__…_DAYS or FRAUDSTREAM_KAFKA__RETENTION_MB"
        )


def cost(settings: Settings) -> Cost:
    """The cost at `FRAUDSTREAM_PRODUCER__EVENTS_PER_SECOND`, from the settings of retention and what was measured."""
    keep, rate = settings.retention, settings.producer.events_per_second / MEASURED_RATE
    kafka = rate * KAFKA_MB * settings.kafka.retention_hours / 24
    if settings.kafka.retention_mb:
        kafka = min(kafka, 3 * settings.kafka.retention_mb)  # most of it is in three topics
    tables = sum(megabytes * getattr(keep, days) for days, megabytes in TABLES_MB.items())
    sales = SALES_MB * (keep.rollups_fine_hours / 24 + keep.rollups_minutes_days / 2 + keep.rollups_days / 50)
    day = KAFKA_MB + sum(TABLES_MB.values()) + SALES_MB
    return Cost(rate * day / 1000, (kafka + rate * (tables + sales + REPEATS_MB * keep.repeats_days)) / 1000)
