"""Figures of the ledger: the one source of totals and rates for status, health page, reconciliation and benchmarks."""

from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

#: Messages that a row of `fraud.stream_batches` or `fraud.stream_offsets` accounts for: one outcome each.
MESSAGES = "(scored + browse_events + labels + dead_lettered + duplicates + skipped)"
#: Offsets that a row of `fraud.stream_offsets` has read; what a person gave up as lost was never read.
READ = "(next_offset - first_offset - lost)"

_TOTALS = f"""
    SELECT coalesce(sum({READ}), 0)::bigint AS read, coalesce(sum(lost), 0)::bigint AS lost,
           coalesce(sum(scored), 0)::bigint AS scored, coalesce(sum(browse_events), 0)::bigint AS browse_events,
           coalesce(sum(labels), 0)::bigint AS labels, coalesce(sum(dead_lettered), 0)::bigint AS dead_lettered,
           coalesce(sum(duplicates), 0)::bigint AS duplicates, coalesce(sum(skipped), 0)::bigint AS skipped,
           coalesce(sum(flagged), 0)::bigint AS flagged,
           coalesce(sum(late), 0)::bigint AS late
    FROM fraud.stream_offsets
"""  # noqa: S608 (constants)
# The newest batch counts however old it is; no minute has more than 1,000 of them.
_RATES = f"""
    SELECT extract(epoch FROM clock_timestamp() - max(committed_at))::float8 AS last_batch_age_s,
           coalesce(sum({MESSAGES}) FILTER (WHERE recent), 0)::float8 / 60 AS messages_per_s,
           coalesce(sum(scored) FILTER (WHERE recent), 0)::float8 / 60 AS scored_per_s,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY latencies_ms[1]) FILTER (WHERE recent AND scored > 0) AS p50_ms,
           max(latencies_ms[3]) FILTER (WHERE recent AND scored > 0) AS p99_ms
    FROM (SELECT *, committed_at > clock_timestamp() - interval '60 seconds' AS recent
          FROM fraud.stream_batches ORDER BY committed_at DESC LIMIT 1000) AS latest
"""  # noqa: S608 (constants)


@dataclass(frozen=True)
class Totals:
    """Messages since the stream's first start.

    `read` = `scored` + `browse_events` + `labels` + `dead_lettered` + `duplicates` + `skipped`; `lost` were given up
    unread; `flagged` and `late` are among the scored.
    """

    read: int
    lost: int
    scored: int
    browse_events: int
    labels: int
    dead_lettered: int
    duplicates: int
    skipped: int
    flagged: int
    late: int


@dataclass(frozen=True)
class Rates:
    """The last minute's micro-batches: messages and transactions a second; latency from Kafka arrival to commit.

    `p50_ms` is the median batch's, `p99_ms` the worst batch's, both None when nothing was scored; `last_batch_age_s`
    is the newest batch's, however old, and None before the first.
    """

    last_batch_age_s: float | None
    messages_per_s: float
    scored_per_s: float
    p50_ms: float | None
    p99_ms: float | None


def totals(connection: Connection[Any]) -> Totals:
    """The totals now. Raises psycopg.Error."""
    with connection.cursor(row_factory=class_row(Totals)) as cursor:
        return cursor.execute(_TOTALS).fetchall()[0]


def rates(connection: Connection[Any]) -> Rates:
    """The rates now. Raises psycopg.Error."""
    with connection.cursor(row_factory=class_row(Rates)) as cursor:
        return cursor.execute(_RATES).fetchall()[0]
