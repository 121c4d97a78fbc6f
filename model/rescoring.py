"""Scores a period of the archive with another model: `python -m model.rescoring --since … --until … --model VERSION`.

What would have been decided, beside what was, by event day: alerts, frauds among them, and money. It reads the features
that the transactions were scored with, as float32, so that a score may differ from the served one in its last digits,
where a tree's split lies between. Nothing that was decided changes.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer

from fraudstream.archive import reading
from fraudstream.archive.lake import FEATURE_PREFIX, ArchiveError
from fraudstream.archive.reading import Period
from fraudstream.errors import told_in_one_line
from fraudstream.messages.contracts import TYPED_TIME_FORMATS
from fraudstream.settings import Settings, load_settings
from fraudstream.storage.connect import Postgres, session
from model.serving.registry import ModelVersion, RegistryError, champion, find
from model.serving.scorer import Scorer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

BATCH_ROWS = 100_000
_READ = ("event_day", "is_fraud", "labelled_fraud", "shop_amount", "feature_set")
_REPLACE = "DELETE FROM fraud.rescorings WHERE request = %s"
_NOTE = """
INSERT INTO fraud.rescorings (model_version, threshold, since, until, known_at, transactions, left_out, request)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING rescoring_id
"""


@dataclass
class Day:
    """A day's decisions: counts, and amounts in the shop currency. Columns of fraud.rescored_days."""

    transactions: int = 0
    labelled: int = 0
    frauds: int = 0
    was_flagged: int = 0
    would_flag: int = 0
    both_flagged: int = 0
    was_caught: int = 0
    would_catch: int = 0
    fraud_amount: float = 0.0
    was_flagged_amount: float = 0.0
    would_flag_amount: float = 0.0
    was_caught_amount: float = 0.0
    would_catch_amount: float = 0.0

    def __add__(self, other: "Day") -> "Day":
        return Day(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Day)))


@dataclass(frozen=True)
class Decisions:
    """Rows of one day, arrays of equal length: decisions, what labels say, and amounts."""

    was: np.ndarray
    would: np.ndarray
    labelled: np.ndarray
    fraud: np.ndarray
    amounts: np.ndarray

    def day(self) -> Day:
        """Their sums."""
        was, would, fraud, amounts = self.was, self.would, self.fraud, self.amounts
        return Day(
            transactions=len(was),
            labelled=int(self.labelled.sum()),
            frauds=int(fraud.sum()),
            was_flagged=int(was.sum()),
            would_flag=int(would.sum()),
            both_flagged=int((was & would).sum()),
            was_caught=int((was & fraud).sum()),
            would_catch=int((would & fraud).sum()),
            fraud_amount=float(amounts[fraud].sum()),
            was_flagged_amount=float(amounts[was].sum()),
            would_flag_amount=float(amounts[would].sum()),
            was_caught_amount=float(amounts[was & fraud].sum()),
            would_catch_amount=float(amounts[would & fraud].sum()),
        )


@dataclass(frozen=True)
class Rescoring:
    """A period's days, and how many transactions the model couldn't be given the features of."""

    days: dict[date, Day]
    left_out: int

    @property
    def total(self) -> Day:
        """All days together."""
        return sum(self.days.values(), Day())


def rescore(settings: Settings, period: Period, scorer: Scorer, known_at: datetime) -> Rescoring:
    """Scores the period anew, a part of it at a time. Raises ArchiveError when nothing is archived."""
    days: dict[date, Day] = {}
    left_out = 0
    archived = set(reading.feature_columns(reading.existing(settings)))
    names = [f"{FEATURE_PREFIX}{name}" for name in scorer.features]
    if lacking := [name for name in names if name not in archived]:
        raise ArchiveError(
            f"the archive has no feature {lacking[0].removeprefix(FEATURE_PREFIX)}, which model {scorer.version} "
            "needs: it can score what was archived after that came"
        )
    with reading.read(settings, period, known_at) as found:
        chosen = found.project(", ".join(f'"{name}"' for name in (*_READ, *names)))
        for batch in chosen.to_arrow_reader(BATCH_ROWS):
            part, lost = _scored(batch, scorer, names)
            left_out += lost
            for day, sums in part:
                days[day] = days.get(day, Day()) + sums
    return Rescoring(dict(sorted(days.items())), left_out)


def keep(
    connection: Postgres, made: Rescoring, scorer: Scorer, period: Period, known_at: datetime, request: str
) -> int:
    """Writes the outcome in the caller's transaction, in place of one of the same request. Returns its number."""
    connection.execute(_REPLACE, (request,))
    total = made.total.transactions
    row = (scorer.version, scorer.threshold, period.since, period.until, known_at, total, made.left_out, request)
    (number,) = connection.execute(_NOTE, row).fetchall()[0]
    names = ["rescoring_id", "day", *(each.name for each in fields(Day))]
    insert = f"INSERT INTO fraud.rescored_days ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.executemany(
            insert, [(number, day, *(getattr(sums, name) for name in names[2:])) for day, sums in made.days.items()]
        )
    return int(number)


def _scored(batch: pa.RecordBatch, scorer: Scorer, names: list[str]) -> tuple[Iterable[tuple[date, Day]], int]:
    """The days of a part, and how many rows of it the model can't be given.

    A feature that a feature set lacks is null, where an unknown value is NaN.
    """
    lacking = np.zeros(batch.num_rows, bool)
    for name in names:
        if batch.column(name).null_count:
            lacking |= batch.column(name).is_null().to_numpy(zero_copy_only=False)
    features = np.column_stack([_floats(batch, name) for name in names])
    would = scorer.score(features) >= scorer.threshold
    return _by_day(batch, would, ~lacking), int(lacking.sum())


def _by_day(batch: pa.RecordBatch, would: np.ndarray, usable: np.ndarray) -> Iterator[tuple[date, Day]]:
    days = np.array(batch.column("event_day").to_pylist(), object)
    labelled = ~batch.column("labelled_fraud").is_null().to_numpy(zero_copy_only=False)
    fraud, was = _flags(batch, "labelled_fraud"), _flags(batch, "is_fraud")
    amounts = np.nan_to_num(_floats(batch, "shop_amount"))
    for day in set(days):
        rows = (days == day) & usable
        yield day, Decisions(was[rows], would[rows], labelled[rows], fraud[rows], amounts[rows]).day()


def _floats(batch: pa.RecordBatch, name: str) -> np.ndarray:
    values: np.ndarray = batch.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _flags(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """Bool [n]; unknown counts as false."""
    flags: np.ndarray = batch.column(name).fill_null(False).to_numpy(zero_copy_only=False)
    return flags


def _model(settings: Settings, version: str) -> ModelVersion:
    with session(settings, settings.postgres.reader, name="rescoring") as connection:
        found = find(connection, version) if version else champion(connection)
    if found is None:
        raise RegistryError("there is no champion: give --model, or run ./fraudctl up, which registers one")
    return found


@app.command()
def main(
    since: Annotated[datetime, typer.Option(formats=TYPED_TIME_FORMATS, help="first event time, UTC")],
    until: Annotated[datetime, typer.Option(formats=TYPED_TIME_FORMATS, help="end of the event times, UTC")],
    request: Annotated[str, typer.Option(help="what asks for it; a repeat replaces the outcome")],
    model: Annotated[str, typer.Option(help="a registered version; empty: the champion")] = "",
) -> None:
    """Score a period again, keep what would have been decided, and print the sums as JSON.

    Example:
      python -m model.rescoring --since 2026-01-01 --until 2026-01-08 --request by-hand
    """
    with told_in_one_line():
        settings = load_settings()
        period, known_at = Period(since.replace(tzinfo=UTC), until.replace(tzinfo=UTC)), datetime.now(UTC)
        scorer = Scorer.load(_model(settings, model).artifact)
        made = rescore(settings, period, scorer, known_at)
        with session(settings, settings.postgres.writer, name="rescoring") as connection:
            number = keep(connection, made, scorer, period, known_at, request)
    sums = {each.name: getattr(made.total, each.name) for each in fields(Day)}
    typer.echo(json.dumps({"rescoring": number, "left_out": made.left_out} | sums))


if __name__ == "__main__":
    app()
