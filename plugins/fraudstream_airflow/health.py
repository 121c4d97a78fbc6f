"""Figures of the health page: the jobs' heartbeats, and the ledger in Postgres."""

from dataclasses import asdict
from typing import Any

import psycopg
from psycopg.rows import dict_row

from fraudstream.jobs.jobs import jobs
from fraudstream.ledger import figures, reconciliation
from fraudstream.settings import Settings
from fraudstream.storage.connect import QUICK_SECONDS, first_line, session

BEGINS_WITH = {"statement_timeout": "3s", "default_transaction_read_only": "on"}

LAST_BATCH = """
SELECT batch_id, model_version, static_version, duration_ms,
       extract(epoch FROM now() - committed_at)::float8 AS age_s
FROM fraud.stream_batches ORDER BY committed_at DESC LIMIT 1
"""
#: The last ten minutes in steps of ten seconds, for the small charts.
HISTORY = f"""
SELECT extract(epoch FROM step)::bigint AS at,
       coalesce(sum({figures.MESSAGES}), 0)::float8 / 10 AS messages_per_s,
       max(latencies_ms[3]) FILTER (WHERE scored > 0) AS p99_ms
FROM generate_series(date_bin('10 s', now() - interval '10 min', 'epoch'),
                     date_bin('10 s', now() - interval '10 s', 'epoch'), '10 s') AS step
LEFT JOIN fraud.stream_batches ON committed_at >= step AND committed_at < step + interval '10 s'
GROUP BY step ORDER BY step
"""  # noqa: S608 (constants)
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
        alarms.append(f"the ledger can't be read: {first_line(error)}")
    else:
        alarms += filter(None, [reconciliation.problem(ledger["reconciliation"])])
    return {"jobs": {name: asdict(state) for name, state in states.items()}, "ledger": ledger, "alarms": alarms}


def _ledger(settings: Settings) -> dict[str, Any]:
    reader = settings.postgres.reader
    with (
        session(settings, reader, name="health_page", timeout=QUICK_SECONDS, begins_with=BEGINS_WITH) as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        return {
            "last_batch": cursor.execute(LAST_BATCH).fetchone(),
            "last_minute": asdict(figures.rates(connection)),
            "totals": asdict(figures.totals(connection)),
            "history": cursor.execute(HISTORY).fetchall(),
            "dead_letters": cursor.execute(DEAD_LETTERS).fetchall(),
            "reconciliation": reconciliation.newest(connection),
        }
