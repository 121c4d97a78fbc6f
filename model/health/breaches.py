"""Figures out of bounds: since when, how often in a row, and whether a training was asked for because of them."""

from collections.abc import Iterable
from datetime import datetime

from fraudstream.storage.connect import Postgres
from model.health.figure import Figure

#: A figure that is out of bounds in so many runs in a row is a lasting breach.
LASTING_RUNS = 3
#: One training is asked for in this time, however many figures are out of bounds.
ASK_AGAIN = "7 days"

_KEEP = """
INSERT INTO fraud.model_health
    (measured_at, model_version, figure, subject, value, low, high, sample, breached, told)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
# A task that is tried again within its run counts once.
_OPEN = """
INSERT INTO fraud.model_breaches AS b (model_version, figure, subject, since, seen_at, runs, told)
VALUES (%(version)s, %(figure)s, %(subject)s, %(now)s, %(now)s, 1, %(told)s)
ON CONFLICT (model_version, figure, subject) WHERE ended_at IS NULL DO UPDATE
SET runs = b.runs + (b.seen_at < %(began)s)::int, seen_at = excluded.seen_at, told = excluded.told
"""
_END = "UPDATE fraud.model_breaches SET ended_at = %(now)s WHERE ended_at IS NULL AND seen_at < %(began)s"
# What this very run asked for before it was killed is asked for again: nobody was told.
_ASK = """
UPDATE fraud.model_breaches b SET asked_at = coalesce(asked_at, %(now)s)
WHERE ended_at IS NULL AND runs >= %(lasting)s AND (asked_at IS NULL OR asked_at >= %(began)s) AND NOT EXISTS (
    SELECT FROM fraud.model_breaches o WHERE o.model_version = b.model_version
        AND o.asked_at < %(began)s AND o.asked_at > %(now)s - %(again)s::interval
)
RETURNING model_version, told, runs
"""


def keep(connection: Postgres, version: str, found: Iterable[Figure], now: datetime, began: datetime) -> list[str]:
    """Keeps what a run that `began` then measured, in the caller's transaction.

    Returns the breaches that last, and for which no training was asked for yet, a sentence each.
    """
    figures = list(found)
    with connection.cursor() as cursor:
        cursor.executemany(
            _KEEP,
            [
                (now, version, f.figure, f.subject, f.value, f.low, f.high, f.sample, f.breached, f.told)
                for f in figures
            ],
        )
        cursor.executemany(
            _OPEN,
            [
                {
                    "version": version,
                    "figure": f.figure,
                    "subject": f.subject,
                    "told": f.told,
                    "now": now,
                    "began": began,
                }
                for f in figures
                if f.breached
            ],
        )
    asked = {"now": now, "began": began, "lasting": LASTING_RUNS, "again": ASK_AGAIN}
    connection.execute(_END, asked)
    rows = connection.execute(_ASK, asked).fetchall()
    return [f"model {model}: {told}; {runs} runs in a row" for model, told, runs in rows]
