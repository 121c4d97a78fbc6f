"""The SQL of what is known of terminals: a part of the refresh of entity risk.

What the days mean is defined in `model.features.terminals`, which computes with them.
"""

from datetime import datetime, timedelta
from typing import Any

import psycopg

from fraudstream.static_data.entities import TERMINAL_DAYS

# Of the stream's and of an imported past; an id in both counts once.
_PAID = """
CREATE TEMPORARY TABLE paid_at_terminals ON COMMIT DROP AS
SELECT transaction_id, terminal_id, event_time, (event_time AT TIME ZONE 'UTC')::date AS day
FROM fraud.scored_transactions
WHERE terminal_id IS NOT NULL AND event_time >= %(since)s AND event_time < %(as_of)s
UNION ALL
SELECT transaction_id, terminal_id, event_time, (event_time AT TIME ZONE 'UTC')::date
FROM fraud.past_transactions p
WHERE terminal_id IS NOT NULL AND event_time >= %(since)s AND event_time < %(as_of)s
    AND NOT EXISTS (SELECT FROM fraud.scored_transactions t WHERE t.transaction_id = p.transaction_id)
"""

# A verdict holds on the days that begin after its label, until one that begins after the next.
_FRAUDS = """
WITH labels AS (
    SELECT transaction_id, is_fraud, labelled_at, true AS live, label_id AS number FROM fraud.transaction_labels
    UNION ALL
    SELECT transaction_id, is_fraud, labelled_at, false, number FROM fraud.past_labels
), verdicts AS (
    SELECT p.terminal_id, p.day, l.is_fraud, (l.labelled_at AT TIME ZONE 'UTC')::date + 1 AS known_from,
        lead((l.labelled_at AT TIME ZONE 'UTC')::date + 1, 1, DATE '9999-12-31') OVER (
            PARTITION BY l.transaction_id ORDER BY l.labelled_at, l.live, l.number
        ) AS known_until
    FROM labels l JOIN paid_at_terminals p USING (transaction_id)
    WHERE l.labelled_at >= p.event_time AND l.labelled_at < %(as_of)s
)
INSERT INTO fraud.terminal_frauds (terminal_id, day, known_from, known_until, frauds)
SELECT terminal_id, day, known_from, known_until, count(*) FROM verdicts
WHERE is_fraud AND known_from < known_until GROUP BY terminal_id, day, known_from, known_until
"""

_DAYS = """
INSERT INTO fraud.terminal_days (terminal_id, day, transactions)
SELECT terminal_id, day, count(*) FROM paid_at_terminals
WHERE terminal_id IN (SELECT terminal_id FROM fraud.terminal_frauds) GROUP BY terminal_id, day
"""


def refresh(cursor: psycopg.Cursor[Any], as_of: datetime) -> int:
    """Replaces what is known of terminals by what is known before `as_of`. Returns of how many something is kept."""
    midnight = as_of.replace(hour=0, minute=0, second=0, microsecond=0)
    moments = {"as_of": as_of, "since": midnight - timedelta(days=TERMINAL_DAYS)}
    cursor.execute("DELETE FROM fraud.terminal_frauds")
    cursor.execute("DELETE FROM fraud.terminal_days")
    if not cursor.execute(_PAID, moments).rowcount:
        return 0
    cursor.execute("ANALYZE paid_at_terminals")  # else the planner takes it for small
    cursor.execute(_FRAUDS, moments)
    cursor.execute(_DAYS)
    ((terminals,),) = cursor.execute("SELECT count(DISTINCT terminal_id) FROM fraud.terminal_days").fetchall()
    return int(terminals)
