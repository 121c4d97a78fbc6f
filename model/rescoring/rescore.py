"""Scores a period of the archive with another model, and decides by another policy version.

It reads the features that the transactions were scored with, as float32, so that a score may differ from the served one
in its last digits, where a tree's split lies between. Nothing that was decided changes.
"""

from collections.abc import Iterator
from datetime import date, datetime

import duckdb
import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from fraudstream.archive import reading
from fraudstream.archive.lake import FEATURE_PREFIX, ArchiveError
from fraudstream.archive.reading import Period, within
from fraudstream.failpoints import Failpoint, reach
from fraudstream.policy.past_decisions import PastDecisions, PastPolicy
from fraudstream.settings import Settings
from model.features.columns import FEATURE_NAMES
from model.health.quality import AGES
from model.policy.past import of_archive
from model.rescoring.sums import Age, Day, Decisions, Rescoring
from model.serving.scorer import Scorer

BATCH_ROWS = 100_000
#: Columns that conditions may name and that come with the score.
_MADE = ("score", "is_fraud")
#: Prefix of columns for conditions, since some have the names of others here.
_ASKED = "asked:"


class Rescorer:
    """A model and a policy version (None: the model's threshold alone), and labels as they were known at a time."""

    def __init__(self, scorer: Scorer, policy: PastPolicy | None, known_at: datetime) -> None:
        self._scorer, self._known_at = scorer, known_at
        self._decisions = PastDecisions(policy) if policy else None
        self._names = [f"{FEATURE_PREFIX}{name}" for name in scorer.features]
        self._asked = sorted(policy.columns.difference(_MADE)) if policy else []

    def rescore(self, settings: Settings, period: Period) -> Rescoring:
        """Scores the period anew, a part of it at a time.

        Raises ArchiveError when nothing is archived, or a feature of the model never was; PolicyError when a column of
        a condition isn't in the archive.
        """
        made = Rescoring(ages={age: Age() for age in AGES})
        self._check(reading.feature_columns(reading.existing(settings)))
        # OpenMP's threads wait for each other at every tree: beside a stream at work they take ten times as long.
        with threadpool_limits(1, "openmp"), reading.read(settings, period, self._known_at, ages=AGES) as found:
            chosen = found.set_alias("a").project(self._columns(found, settings.archive_url))
            for batch in chosen.to_arrow_reader(BATCH_ROWS):
                usable = self._usable(batch)
                decided = self._decide(batch)
                made.left_out += int((~usable).sum())
                for day, rows in _days(batch):
                    made.days[day] = made.days.get(day, Day()) + decided.day(rows & usable)
                for age in AGES:
                    made.ages[age] += decided.aged(age, usable)
                reach(Failpoint.IN_RESCORING)
        made.days = dict(sorted(made.days.items()))
        made.failures = self._decisions.failures if self._decisions else {}
        return made

    def _check(self, archived: list[str]) -> None:
        if lacking := [name for name in self._names if name not in archived]:
            raise ArchiveError(
                f"the archive has no feature {lacking[0].removeprefix(FEATURE_PREFIX)}, which model "
                f"{self._scorer.version} needs: it can score what was archived after that came"
            )

    def _columns(self, found: duckdb.DuckDBPyRelation, archive: str) -> str:
        was = "coalesce(decision <> 'allow', is_fraud)" if "decision" in found.columns else "is_fraud"
        asked = of_archive(self._asked, set(found.columns), archive)
        return ", ".join(
            (
                *("event_day", "shop_amount", "labelled_fraud", f"{was} AS was", "epoch(event_time) AS at"),
                *(within(age) for age in AGES),
                *(f'"{name}"' for name in self._names),
                *(f'{sql} AS "{_ASKED}{name}"' for name, (_, sql) in asked.items()),
            )
        )

    def _usable(self, batch: pa.RecordBatch) -> np.ndarray:
        """Which rows the model can be given. A feature that a feature set lacks is null, an unknown value is NaN."""
        usable = np.ones(batch.num_rows, bool)
        for name in self._names:
            if batch.column(name).null_count:
                usable &= batch.column(name).is_valid().to_numpy(zero_copy_only=False)
        return usable

    def _features(self, batch: pa.RecordBatch) -> np.ndarray:
        """FEATURE_NAMES of each row, NaN where the model has no use for one; float64 [n, features]."""
        features = np.full((batch.num_rows, len(FEATURE_NAMES)), np.nan)
        for feature, name in zip(self._scorer.features, self._names, strict=True):
            features[:, FEATURE_NAMES.index(feature)] = _floats(batch, name)
        return features

    def _decide(self, batch: pa.RecordBatch) -> Decisions:
        scores = self._scorer.score(self._features(batch))
        by_model: np.ndarray = scores >= self._scorer.threshold
        times, would = _floats(batch, "at"), by_model
        if self._decisions:
            own = {"score": pa.array(scores), "is_fraud": pa.array(by_model)}
            asked = own | {name: batch.column(f"{_ASKED}{name}") for name in self._asked}
            would = self._decisions.flagged(scores, self._scorer.threshold, times, asked.__getitem__)
        known = self._known_at.timestamp()
        return Decisions(
            was=_flags(batch, "was"),
            would=would,
            labelled=batch.column("labelled_fraud").is_valid().to_numpy(zero_copy_only=False),
            fraud=_flags(batch, "labelled_fraud"),
            amounts=np.nan_to_num(_floats(batch, "shop_amount")),
            frauds_within={age: _flags(batch, within(age)) for age in AGES},
            is_aged={age: times <= known - age.total_seconds() for age in AGES},
        )


def _days(batch: pa.RecordBatch) -> Iterator[tuple[date, np.ndarray]]:
    """The days of a part, each with its rows."""
    days = np.array(batch.column("event_day").to_pylist(), object)
    yield from ((day, days == day) for day in set(days))


def _floats(batch: pa.RecordBatch, name: str) -> np.ndarray:
    values: np.ndarray = batch.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _flags(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """Bool [n]; unknown counts as false."""
    flags: np.ndarray = batch.column(name).fill_null(False).to_numpy(zero_copy_only=False)
    return flags
