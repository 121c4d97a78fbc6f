"""Content of the health page: the jobs' heartbeats, and the ledger in Postgres."""

from dataclasses import asdict
from typing import Any

import psycopg
from psycopg.rows import dict_row

from fraudstream.jobs.jobs import jobs
from fraudstream.ledger import reconciliation
from fraudstream.settings import Settings

DB_SECONDS = 3
DB_OPTIONS = "-c statement_timeout=3000 -c default_transaction_read_only=on"

LAST_BATCH = """
SELECT batch_id, model_version, static_version, duration_ms,
       extract(epoch FROM now() - committed_at)::float8 AS age_s
FROM fraud.stream_batches ORDER BY committed_at DESC LIMIT 1
"""
#: Over the last minute. Of the batches' percentiles: the median of p50, the largest p99.
LAST_MINUTE = """
SELECT coalesce(sum(scored), 0)::float8 / 60 AS scored_per_s,
       coalesce(sum(scored + browse_events + labels + dead_lettered + duplicates), 0)::float8 / 60 AS rows_per_s,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY latencies_ms[1]) FILTER (WHERE scored > 0) AS p50_ms,
       max(latencies_ms[3]) FILTER (WHERE scored > 0) AS p99_ms
FROM fraud.stream_batches WHERE committed_at > now() - interval '60 seconds'
"""
TOTALS = """
SELECT coalesce(sum(next_offset - first_offset), 0)::bigint AS read, coalesce(sum(scored), 0)::bigint AS scored,
       coalesce(sum(browse_events), 0)::bigint AS browse_events, coalesce(sum(labels), 0)::bigint AS labels,
       coalesce(sum(dead_lettered), 0)::bigint AS dead_lettered, coalesce(sum(duplicates), 0)::bigint AS duplicates,
       coalesce(sum(flagged), 0)::bigint AS flagged
FROM fraud.stream_offsets
"""
#: The last ten minutes in steps of ten seconds, for the small charts.
HISTORY = """
SELECT extract(epoch FROM step)::bigint AS at,
       coalesce(sum(scored + browse_events + labels + dead_lettered + duplicates), 0)::float8 / 10 AS rows_per_s,
       max(latencies_ms[3]) FILTER (WHERE scored > 0) AS p99_ms
FROM generate_series(date_bin('10 s', now() - interval '10 min', 'epoch'),
                     date_bin('10 s', now() - interval '10 s', 'epoch'), '10 s') AS step
LEFT JOIN fraud.stream_batches ON committed_at >= step AND committed_at < step + interval '10 s'
GROUP BY step ORDER BY step
"""
DEAD_LETTERS = """
SELECT topic, kafka_partition AS partition, kafka_offset AS offset, reason, detail,
       extract(epoch FROM now() - created_at)::float8 AS age_s,
       (SELECT kafka_offset FROM fraud.dead_letters AS first
        WHERE (first.topic, first.kafka_partition, first.replayed_offset)
            = (letter.topic, letter.kafka_partition, letter.kafka_offset)) AS replay_of
FROM fraud.dead_letters AS letter ORDER BY created_at DESC LIMIT 8
"""


def collect(settings: Settings) -> dict[str, Any]:
    """Everything on the page. Without Postgres, `ledger` is None. `alarms` is what needs a person, a line each."""
    states = {name: job.state(settings) for name, job in jobs(settings).items()}
    alarms = [f"{name}: {state.problem}" for name, state in states.items() if state.problem]
    ledger = None
    try:
        ledger = _ledger(settings)
    except psycopg.Error as error:
        alarms.append(f"Postgres can't be read: {error}".strip())
    else:
        alarms += filter(None, [reconciliation.problem(ledger["reconciliation"])])
    return {"jobs": {name: asdict(state) for name, state in states.items()}, "ledger": ledger, "alarms": alarms}


def _ledger(settings: Settings) -> dict[str, Any]:
    dsn = settings.dsn(settings.postgres.reader)
    with (
        psycopg.connect(dsn, connect_timeout=DB_SECONDS, options=DB_OPTIONS, row_factory=dict_row) as connection,
        connection.cursor() as cursor,
    ):
        return {
            "last_batch": cursor.execute(LAST_BATCH).fetchone(),
            "last_minute": cursor.execute(LAST_MINUTE).fetchone(),
            "totals": cursor.execute(TOTALS).fetchone(),
            "history": cursor.execute(HISTORY).fetchall(),
            "dead_letters": cursor.execute(DEAD_LETTERS).fetchall(),
            "reconciliation": cursor.execute(reconciliation.NEWEST).fetchone(),
        }
