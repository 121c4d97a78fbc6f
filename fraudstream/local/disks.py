"""Disks that hold the platform's data, and what a day adds to them."""

from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from fraudstream.settings import Settings

GIB = 2**30
#: So much is never too little, however large the disk: four days of the default rate.
ENOUGH_BYTES = 20 * GIB
#: MB of a day, measured at so many events a second (docs/production.md#disk-space).
MEASURED_RATE = 150
KAFKA_MB = 3600
TRANSACTIONS_MB = 628
LABELS_MB = 70
LEDGER_MB = 72
#: Rollups of seconds, and their parts that are left in minutes and in hours.
SALES_MB = 121
MINUTES_PART = 0.77
HOURS_PART = 0.03
#: Of each day's transactions, once they are deleted: what tells a repeat.
REPEATS_MB = 116
#: The checkpoint, which doesn't grow with the days: of the default shop's 20,000 customers with full profiles.
CHECKPOINT_MB = 1200


@dataclass(frozen=True)
class Cost:
    """Disk space in GB at the producer's rate: what a day adds, and what it comes to when retention takes as much."""

    day: float
    steady: float


def problems(settings: Settings) -> Iterator[str]:
    """A line when the disk of the platform's data has less free than the settings ask for."""
    percent, folder = settings.retention.disk_free_percent, settings.paths.var
    if not folder.exists():
        return
    usage = psutil.disk_usage(str(folder))
    wanted = min(ENOUGH_BYTES, (usage.used + usage.free) * percent / 100)
    if usage.free < wanted:
        yield (
            f"{usage.free / GIB:.1f} GiB of the disk of {folder} are free, less than {wanted / GIB:.1f} GiB "
            f"(FRAUDSTREAM_RETENTION__DISK_FREE_PERCENT={percent:g}): free some, or lower "
            "FRAUDSTREAM_RETENTION__…_DAYS or FRAUDSTREAM_KAFKA__RETENTION_MB"
        )


def cost(settings: Settings) -> Cost:
    """The cost at `FRAUDSTREAM_PRODUCER__EVENTS_PER_SECOND`, from the settings of retention and what was measured."""
    keep, rate = settings.retention, settings.producer.events_per_second / MEASURED_RATE
    kafka = rate * KAFKA_MB * settings.kafka.retention_hours / 24
    if settings.kafka.retention_mb:
        kafka = min(kafka, 3 * settings.kafka.retention_mb)  # most of it is in three topics
    tables = (
        TRANSACTIONS_MB * keep.transactions_days
        + LABELS_MB * max(keep.labels_days, keep.transactions_days)
        + LEDGER_MB * keep.ledger_days
        + SALES_MB * keep.rollups_fine_hours / 24
        + SALES_MB * (MINUTES_PART * keep.rollups_minutes_days + HOURS_PART * keep.rollups_days)
        + REPEATS_MB * keep.repeats_days
    )
    day = KAFKA_MB + TRANSACTIONS_MB + LABELS_MB + LEDGER_MB + SALES_MB
    return Cost(rate * day / 1000, (kafka + rate * tables + CHECKPOINT_MB) / 1000)
