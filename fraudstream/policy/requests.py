"""Backtests that the desk asks for: rows of fraud.backtests, which a job takes, runs and answers (`model.policy`)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fraudstream.policy.document import Rule
from fraudstream.storage.connect import Postgres

#: Whoever took a request and hasn't answered it after so many minutes has died.
DEAD_MINUTES = 15
#: Answers are kept so long.
KEPT_DAYS = 90
_COLUMNS = 'backtest_id, asked_by, asked_at, rule, condition, "action", days, begun_at, ended_at, report, error'
_ASK = 'INSERT INTO fraud.backtests (asked_by, rule, condition, "action", days) VALUES (%s, %s, %s, %s, %s)'
_WAITING = f"""
SELECT {_COLUMNS} FROM fraud.backtests
WHERE ended_at IS NULL AND (begun_at IS NULL OR begun_at < now() - %s * interval '1 minute')
ORDER BY backtest_id LIMIT 1 FOR UPDATE SKIP LOCKED
"""  # noqa: S608 (constants)
_END = """
UPDATE fraud.backtests SET ended_at = now(), report = %s::jsonb, error = %s WHERE backtest_id = %s AND ended_at IS NULL
"""


@dataclass(frozen=True)
class Request:
    """A row of fraud.backtests: what was asked, and what came of it."""

    backtest_id: int
    asked_by: str
    asked_at: datetime
    rule: str
    condition: str
    action: str
    days: int
    begun_at: datetime | None
    ended_at: datetime | None
    report: dict[str, Any] | None
    error: str | None


def ask(connection: Postgres, rule: Rule, days: int, *, who: str) -> None:
    """Asks to try `rule` on the newest `days` of the archive; nothing, while the same waits already."""
    found = newest(connection, rule)
    if found is None or found.ended_at or found.days != days:
        connection.execute(_ASK, (who, rule.name, rule.condition, rule.action.value, days))


def newest(connection: Postgres, rule: Rule) -> Request | None:
    """What was asked last of a rule, as its condition and action are now."""
    row = connection.execute(
        f'SELECT {_COLUMNS} FROM fraud.backtests WHERE rule = %s AND condition = %s AND "action" = %s '  # noqa: S608 (constants)
        "ORDER BY backtest_id DESC LIMIT 1",
        (rule.name, rule.condition, rule.action.value),
    ).fetchone()
    return Request(*row) if row else None


def take(connection: Postgres) -> Request | None:
    """Takes the oldest request that nobody works on, and notes it; None when there is none.

    One whose `begun_at` is set was taken before, by a run that died.
    """
    with connection.transaction():
        row = connection.execute(_WAITING, (DEAD_MINUTES,)).fetchone()
        if row is None:
            return None
        connection.execute("UPDATE fraud.backtests SET begun_at = now() WHERE backtest_id = %s", (row[0],))
    return Request(*row)


def answer(connection: Postgres, request: Request, report: str) -> None:
    """Notes what was found, as JSON (`fraudstream.policy.backtest.as_json`)."""
    connection.execute(_END, (report, None, request.backtest_id))


def fail(connection: Postgres, request: Request, error: str) -> None:
    """Notes why nothing was found."""
    connection.execute(_END, (None, error[:500], request.backtest_id))


def forget_old(connection: Postgres) -> None:
    """Deletes answers that are older than `KEPT_DAYS`."""
    connection.execute("DELETE FROM fraud.backtests WHERE asked_at < now() - %s * interval '1 day'", (KEPT_DAYS,))
