"""Keeps a rescoring in Postgres, in place of one of the same request."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from fraudstream.archive.reading import Period
from fraudstream.failpoints import Failpoint, reach
from fraudstream.storage.connect import Postgres
from model.rescoring.sums import Age, Day, Rescoring

_REPLACE = "DELETE FROM fraud.rescorings WHERE request = %s"
_NOTE = """
INSERT INTO fraud.rescorings
    (model_version, policy_version, threshold, since, until, known_at, request, transactions, left_out)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING rescoring_id
"""


@dataclass(frozen=True)
class Asked:
    """What was asked: the model with its threshold, a policy version (None: the threshold alone), and by what."""

    model_version: str
    policy_version: int | None
    threshold: float
    period: Period
    known_at: datetime
    request: str


def keep(connection: Postgres, made: Rescoring, asked: Asked) -> int:
    """Writes the outcome in the caller's transaction. Returns its number. Raises psycopg.Error."""
    connection.execute(_REPLACE, (asked.request,))
    policy = None if asked.policy_version is None else str(asked.policy_version)
    period = asked.period
    row = (asked.model_version, policy, asked.threshold, period.since, period.until, asked.known_at, asked.request)
    [(number,)] = connection.execute(_NOTE, (*row, made.total.transactions, made.left_out)).fetchall()
    _insert(connection, "rescored_days", ("day", Day), [(number, *each) for each in made.days.items()])
    ages = [(number, int(age.total_seconds() // 3600), sums) for age, sums in made.ages.items()]
    _insert(connection, "rescored_ages", ("label_age_hours", Age), ages)
    reach(Failpoint.BEFORE_RESCORING_COMMIT)
    return int(number)


def _insert(
    connection: Postgres, table: str, key: tuple[str, type[Day | Age]], rows: Sequence[tuple[Any, Any, Day | Age]]
) -> None:
    """Rows (number of the rescoring, key, sums); the sums' fields are the table's columns."""
    name, kind = key
    sums = [each.name for each in fields(kind)]
    columns = ("rescoring_id", name, *sums)
    insert = f"INSERT INTO fraud.{table} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"  # noqa: S608 (constants)
    with connection.cursor() as cursor:
        cursor.executemany(
            insert.encode(), [(number, value, *(getattr(of, each) for each in sums)) for number, value, of in rows]
        )
