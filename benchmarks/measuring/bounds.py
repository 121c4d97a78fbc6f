"""Bounds of what may grow in a running platform, and what ends the growth. All else must stay where it is."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

MIB = 2**20


class Per(Enum):
    """What a rate is counted by."""

    HOUR = "hour"
    MESSAGES = "1,000 messages"


@dataclass(frozen=True)
class Bound:
    """The rate at which series (a whole match of `series`) may rise, and what ends that rise."""

    series: str
    rate: float
    per: Per
    until: str

    def allowed(self, messages_per_hour: float) -> float:
        """An hour's rise."""
        return self.rate * (messages_per_hour / 1000 if self.per is Per.MESSAGES else 1)


_KEPT = "the Dag `apply_retention`, after the days that the table is kept"
_KAFKA = "the topics' `retention.ms` and `retention.bytes`"
_AIRFLOW = "the Dag `apply_retention`, which cleans Airflow's database and logs"
_SUPERSET = "the Dag `apply_retention`, which prunes Superset's log"
_FULL = "full profiles: 32 purchases a customer, `CUSTOMER_RETENTION_DAYS`"

#: The first that matches counts. About twice what was measured on a day at twelve times the default rate.
BOUNDS = (
    Bound(r"messages|uptime/.*", float("inf"), Per.HOUR, "nothing: a counter"),
    Bound(r"(bytes|files)/var/(kafka|postgres)/.+", float("inf"), Per.HOUR, "the folder above and each table count"),
    Bound(r"bytes/var/kafka", 300_000, Per.MESSAGES, _KAFKA),
    Bound(r"(files/var|descriptors)/kafka", 1_000, Per.HOUR, f"{_KAFKA}: eight segments or more a partition"),
    Bound(r"bytes/var/postgres", 200_000, Per.MESSAGES, "the Dag `apply_retention`; `max_wal_size`"),
    Bound(r"files/var/postgres", 120, Per.HOUR, "the number of tables and partitions; `max_wal_size`"),
    Bound(r"descriptors/postgres", 500, Per.HOUR, "files of tables, each open once in each connection"),
    Bound(r"table/[^.]+\.fraud\.scored_transactions.*", 100_000, Per.MESSAGES, _KEPT),
    Bound(r"rows/[^.]+\.fraud\.(scored|retired)_transactions.*", 160, Per.MESSAGES, _KEPT),
    Bound(r"rows/[^.]+\.fraud\.product_sales", 120, Per.MESSAGES, _KEPT),
    Bound(r"table/[^.]+\.fraud\..+", 15_000, Per.MESSAGES, _KEPT),
    Bound(r"rows/[^.]+\.fraud\..+", 40, Per.MESSAGES, _KEPT),
    Bound(r"table/airflow\..+", 4 * MIB, Per.HOUR, _AIRFLOW),
    Bound(r"rows/airflow\..+", 900, Per.HOUR, _AIRFLOW),
    Bound(r"table/superset\.public\.logs", 2 * MIB, Per.HOUR, _SUPERSET),
    Bound(r"rows/superset\.public\.logs", 3_000, Per.HOUR, _SUPERSET),
    Bound(r"bytes/var/(airflow|logs)(/.+)?", 20 * MIB, Per.HOUR, f"{_AIRFLOW}; the rotation of each log"),
    Bound(r"files/var/(airflow|logs)(/.+)?", 300, Per.HOUR, _AIRFLOW),
    Bound(r"(bytes|files)/var/snapshots(/.+)?", 100 * MIB, Per.HOUR, f"`FRAUDSTREAM_RETENTION__SNAPSHOTS`; {_FULL}"),
    Bound(r"bytes/var(/stream(/.+)?)?", 1_200_000, Per.MESSAGES, f"those of the folders below; {_FULL}"),
    Bound(r"files/var(/stream(/.+)?)?", 2_000, Per.HOUR, f"those of the folders below; {_FULL}"),
    Bound(r"memory/stream-.+", 100 * MIB, Per.HOUR, _FULL),
    Bound(r"memory/kafka", 200 * MIB, Per.HOUR, "its heap (`KAFKA__HEAP_MB`), which the first hour fills"),
    Bound(r"memory/.+", 40 * MIB, Per.HOUR, "caches that are full, and the start of worker processes anew"),
)
#: A rise of a series without a bound that is no rise: of its median in an hour, and in its own unit altogether.
LEVEL_SHARE = 0.02
LEVEL_LEAST = {"bytes": 8 * MIB, "table": 2 * MIB, "rows": 100, "files": 20, "lag": 5_000, "latency_p99_ms": 500}
LEVEL_LEAST_OTHERS = 8


@dataclass(frozen=True)
class Slope:
    """The trend of a series: an hour's rise and its 95 % interval, and the median; `hours` is how long it was seen."""

    median: float
    hourly: float
    low: float
    high: float
    hours: float


@dataclass(frozen=True)
class Verdict:
    """A series beside its bound; None for one that has to stay level."""

    series: str
    slope: Slope
    bound: Bound | None
    allowed: float

    @property
    def is_bounded(self) -> bool:
        """False when the slope is above its bound, by more than the interval's doubt."""
        return self.slope.low <= self.allowed


def bound_of(series: str) -> Bound | None:
    """The bound of a series; None for one that has to stay level."""
    return next((bound for bound in BOUNDS if re.fullmatch(bound.series, series)), None)


def judge(slopes: Mapping[str, Slope]) -> list[Verdict]:
    """Each series beside its bound; needs that of `messages`, by which some are counted."""
    messages = slopes["messages"].hourly
    return [_judged(series, slope, messages) for series, slope in sorted(slopes.items())]


def _judged(series: str, slope: Slope, messages: float) -> Verdict:
    bound = bound_of(series)
    if bound:
        return Verdict(series, slope, bound, bound.allowed(messages))
    least = LEVEL_LEAST.get(series.split("/")[0], LEVEL_LEAST_OTHERS)
    return Verdict(series, slope, None, max(slope.median * LEVEL_SHARE, least / slope.hours))


def table(bounds: Iterable[Bound] = BOUNDS) -> str:
    """The bounds as a table of Markdown, for the docs."""
    lines = ["| series | may rise by | until |", "| --- | --- | --- |"]
    for bound in bounds:
        rate = "any rate" if bound.rate == float("inf") else f"{bound.rate:,.0f} per {bound.per.value}"
        series = bound.series.replace("|", r"\|")
        lines.append(f"| `{series}` | {rate} | {bound.until} |")
    return "\n".join(lines)
