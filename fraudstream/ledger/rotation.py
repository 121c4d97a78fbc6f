"""The rotating comparison: each run takes new batches and a slice of all that is older, and remembers where it ended.

A slice is a part of what the tables hold, so that a Dag that runs every 5 minutes comes round within a day, and a run's
cost doesn't jump when history is long.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from fraudstream.ledger import comparison
from fraudstream.ledger.differences import Difference
from fraudstream.storage.connect import Postgres

#: A round is done in so many runs: 17 hours of them, every 5 minutes.
RUNS = 200
#: A slice has at least so many rows, or batches: less isn't worth a run.
LEAST_ROWS = 20_000
LEAST_BATCHES = 5_000
#: At most so many hours a run, for history that is long and thin: three years of it in a day.
MOST_HOURS = 120
#: At most so many new batches a run, after a long time without one.
MOST_NEW_BATCHES = 50_000
#: Batches of one statement.
STEP = 1_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIZE = "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = %s::regclass"
_POSITION = "SELECT next, begun_at, whole_since FROM fraud.reconciliation_positions WHERE name = %s"
_KEEP = """
    INSERT INTO fraud.reconciliation_positions (name, next, begun_at, whole_since) VALUES (%s, %s, %s, %s)
    ON CONFLICT (name) DO UPDATE
    SET next = excluded.next, begun_at = excluded.begun_at, whole_since = excluded.whole_since
"""


class Round(StrEnum):
    """Rounds that a run goes on with."""

    NEW_BATCHES = "new batches"  # each compared as soon as it is there; never begins anew
    BATCHES = "batches"
    HOURS = "hours"


@dataclass(frozen=True)
class Position:
    """Where a round goes on: with the batch, or the hour in seconds since 1970, that is `next`; None: at the start."""

    round: Round
    next: int | None
    begun_at: datetime
    whole_since: datetime | None = None


@dataclass
class Slice:
    """What a run compared."""

    batches: int = 0
    hours: int = 0
    differences: list[Difference] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)

    def ended(self, round_: Round) -> bool:
        """True when the slice came to the end of this round."""
        return any(position.round is round_ and position.next is None for position in self.positions)


def compare_next(connection: Postgres, *, whole: bool = False) -> Slice:
    """Compares the new batches and the next slice of both rounds, or everything when `whole`. Raises psycopg.Error."""
    done = Slice()
    first, last = comparison.batch_ids(connection)
    older = _new_batches(connection, done, first, last)
    _batches(connection, done, first, older, whole=whole)
    _hours(connection, done, whole=whole)
    return done


def keep(connection: Postgres, positions: list[Position]) -> None:
    """Remembers where the next run goes on. Raises psycopg.Error."""
    for position in positions:
        connection.execute(_KEEP, (position.round, position.next, position.begun_at, position.whole_since))


def _new_batches(connection: Postgres, done: Slice, first: int, last: int) -> int:
    """Compares what came since the last run, of the ledger's `first` to `last`. Returns the first batch of that."""
    position = _position(connection, Round.NEW_BATCHES)
    # Behind the last: the ledger was restored, or emptied.
    begin = first if position.next is None or position.next > last + 1 else max(first, position.next)
    end = min(last + 1, begin + MOST_NEW_BATCHES)
    _compare_batches(connection, done, begin, end)
    done.positions.append(Position(Round.NEW_BATCHES, end, position.begun_at))
    return begin


def _batches(connection: Postgres, done: Slice, first: int, older: int, *, whole: bool) -> None:
    """Compares the next slice of the batches from `first` until `older`, or all of them."""
    position = _position(connection, Round.BATCHES)
    begin = first if whole or position.next is None else max(first, position.next)
    least = max(LEAST_BATCHES, _size(connection, "stream_batches") // RUNS)
    end = older if whole else min(older, begin + least)
    _compare_batches(connection, done, begin, end)
    done.positions.append(_moved(connection, position, end if end < older else None))


def _hours(connection: Postgres, done: Slice, *, whole: bool) -> None:
    position = _position(connection, Round.HOURS)
    since = comparison.first_hour(connection)
    if position.next is not None and not whole:
        since = max(since, _EPOCH + timedelta(seconds=position.next))
    rows, hours, least = 0, 0, max(LEAST_ROWS, _size(connection, "scored_transactions") // RUNS)
    while hour := comparison.next_hour(connection, since):
        if not whole and (rows >= least or hours >= MOST_HOURS):
            break
        of_hour, differences = comparison.hour(connection, hour)
        rows, hours, since = rows + of_hour, hours + 1, hour + comparison.HOUR
        done.differences += differences
    done.hours += hours
    done.positions.append(_moved(connection, position, round((hour - _EPOCH).total_seconds()) if hour else None))


def _compare_batches(connection: Postgres, done: Slice, begin: int, end: int) -> None:
    for start, stop in _steps(begin, end):
        done.differences += comparison.batches(connection, start, stop)
        done.batches += stop - start


def _steps(begin: int, end: int) -> Iterator[tuple[int, int]]:
    for start in range(begin, end, STEP):
        yield start, min(start + STEP, end)


def _position(connection: Postgres, round_: Round) -> Position:
    found = connection.execute(_POSITION, (round_,)).fetchone()
    if found is None:
        return Position(round_, None, _now(connection))
    following, begun_at, whole_since = found
    return Position(round_, following, begun_at, whole_since)


def _moved(connection: Postgres, position: Position, following: int | None) -> Position:
    """The position after a slice; a round that has come to its end begins anew at the next run."""
    if following is not None:
        return Position(position.round, following, position.begun_at, position.whole_since)
    return Position(position.round, None, _now(connection), position.begun_at)


def _now(connection: Postgres) -> datetime:
    now: datetime = connection.execute("SELECT now()").fetchall()[0][0]
    return now


def _size(connection: Postgres, table: str) -> int:
    """Rows of a table, about: what its newest ANALYZE counted."""
    ((rows,),) = connection.execute(_SIZE, (f"fraud.{table}",)).fetchall()
    return int(rows)
