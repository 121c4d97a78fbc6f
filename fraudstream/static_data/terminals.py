"""The SQL of what is known of terminals: a part of the refresh of entity risk.

What the hours mean is defined in `model.features.terminals`, which computes with them.
"""

from datetime import datetime, timedelta
from typing import Any

import psycopg

from fraudstream.static_data.entities import TERMINAL_DAYS

_PAID_IN = """
SELECT transaction_id, terminal_id, event_time, date_trunc('hour', event_time, 'UTC') AS hour,
    floor(amount::float8 * exchange_rate::float8 * 100 + 0.5)::bigint AS cents
FROM {} p
WHERE terminal_id IS NOT NULL AND event_time >= %(since)s AND event_time < %(as_of)s
"""
# Of the stream's and of an imported past; an id in both counts once.
_PAID = f"""
CREATE TEMPORARY TABLE paid_at_terminals ON COMMIT DROP AS
{_PAID_IN.format("fraud.scored_transactions")}
UNION ALL
{_PAID_IN.format("fraud.past_transactions")}
    AND NOT EXISTS (SELECT FROM fraud.scored_transactions t WHERE t.transaction_id = p.transaction_id)
"""

# A verdict holds in the hours that begin after its label, until one that begins after the next.
_FRAUDS = """
WITH labels AS (
    SELECT transaction_id, is_fraud, labelled_at, true AS live, label_id AS number FROM fraud.transaction_labels
    UNION ALL
    SELECT transaction_id, is_fraud, labelled_at, false, number FROM fraud.past_labels
), verdicts AS (
    SELECT p.terminal_id, p.hour, coalesce(p.cents, 0) AS cents, l.is_fraud,
        date_trunc('hour', l.labelled_at, 'UTC') + interval '1 hour' AS known_from,
        lead(date_trunc('hour', l.labelled_at, 'UTC') + interval '1 hour', 1, TIMESTAMPTZ '9999-12-31 00:00Z') OVER (
            PARTITION BY l.transaction_id ORDER BY l.labelled_at, l.live, l.number
        ) AS known_until
    FROM labels l JOIN paid_at_terminals p USING (transaction_id)
    WHERE l.labelled_at >= p.event_time AND l.labelled_at < %(as_of)s
)
INSERT INTO fraud.terminal_frauds (terminal_id, hour, known_from, known_until, cents, frauds)
SELECT terminal_id, hour, known_from, known_until, cents, count(*) FROM verdicts
WHERE is_fraud AND known_from < known_until GROUP BY terminal_id, hour, known_from, known_until, cents
"""

_HOURS = """
INSERT INTO fraud.terminal_hours (terminal_id, hour, transactions, priced, cents)
SELECT terminal_id, hour, count(*), count(cents), coalesce(sum(cents), 0) FROM paid_at_terminals
WHERE terminal_id IN (SELECT terminal_id FROM fraud.terminal_frauds) GROUP BY terminal_id, hour
"""


def refresh(cursor: psycopg.Cursor[Any], as_of: datetime) -> int:
    """Replaces what is known of terminals by what is known before `as_of`. Returns of how many something is kept."""
    midnight = as_of.replace(hour=0, minute=0, second=0, microsecond=0)
    moments = {"as_of": as_of, "since": midnight - timedelta(days=TERMINAL_DAYS)}
    cursor.execute("DELETE FROM fraud.terminal_frauds")
    cursor.execute("DELETE FROM fraud.terminal_hours")
    if not cursor.execute(_PAID, moments).rowcount:
        return 0
    cursor.execute("ANALYZE paid_at_terminals")  # else the planner takes it for small
    cursor.execute(_FRAUDS, moments)
    cursor.execute(_HOURS)
    ((terminals,),) = cursor.execute("SELECT count(DISTINCT terminal_id) FROM fraud.terminal_hours").fetchall()
    return int(terminals)
