"""A month's figures by simulation-truth: a day's by model version, and whether the platform helped itself."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from model.health.figure import share_interval

#: Drift is to be seen within so much of its beginning.
SEEN_WITHIN = timedelta(days=1)
#: The part that a new model must make up for of what precision lost, and of what F1 did.
RECOVERED_SHARE = 0.5


@dataclass(frozen=True)
class Counts:
    """Transactions by truth and decision."""

    transactions: int = 0
    frauds: int = 0
    flagged: int = 0
    caught: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.transactions + other.transactions,
            self.frauds + other.frauds,
            self.flagged + other.flagged,
            self.caught + other.caught,
        )

    @property
    def precision(self) -> float:
        """Share of frauds among the flagged; 0 of none."""
        return self.caught / self.flagged if self.flagged else 0.0

    @property
    def recall(self) -> float:
        """Share of the frauds that were flagged; 0 of none."""
        return self.caught / self.frauds if self.frauds else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where nothing is flagged, and nothing was fraud."""
        return 2 * self.caught / (self.flagged + self.frauds) if self.flagged or self.frauds else 0.0

    def __str__(self) -> str:
        low, high = share_interval(self.caught, self.flagged)
        return (
            f"precision {self.precision:.2f} ({low:.2f} to {high:.2f}), recall {self.recall:.2f}, "
            f"{self.flagged} flagged and {self.frauds} frauds of {self.transactions}"
        )


def count(rows: Iterable[tuple[str, str, bool]], frauds: set[str]) -> dict[str, Counts]:
    """Counts by model version of rows (transaction id, model version, flagged); `frauds` are ids."""
    found: dict[str, Counts] = {}
    for identifier, version, flagged in rows:
        is_fraud = identifier in frauds
        found[version] = found.get(version, Counts()) + Counts(1, is_fraud, flagged, is_fraud and flagged)
    return found


@dataclass
class Month:
    """What happened when: `days` has the counts by model version of each day, by when it began."""

    drift_at: datetime
    days: dict[datetime, Mapping[str, Counts]] = field(default_factory=dict)
    known: set[tuple[str, str]] = field(default_factory=set)  # figures out of bounds before the drift
    seen_at: datetime | None = None
    promoted_at: datetime | None = None

    def look(self, at: datetime, breached: Iterable[tuple[str, str]]) -> None:
        """Notes the figures out of bounds at a time; drift is seen in one that wasn't so before it began."""
        if at <= self.drift_at:
            self.known.update(breached)
        elif self.seen_at is None and set(breached) - self.known:
            self.seen_at = at

    @property
    def before(self) -> Counts:
        """The days before the drift."""
        return _sum(counts for begin, by in self.days.items() if begin < self.drift_at for counts in by.values())

    @property
    def drifted(self) -> Counts:
        """What the models from before the drift decided since."""
        return _sum(counts for version, counts in self._since_drift() if version in self._former)

    @property
    def after(self) -> Counts:
        """What models that were promoted since the drift decided."""
        return _sum(counts for version, counts in self._since_drift() if version not in self._former)

    def failures(self) -> Iterator[str]:
        """What didn't happen as it should."""
        if self.seen_at is None or self.seen_at > self.drift_at + SEEN_WITHIN:
            yield f"drift wasn't seen within {SEEN_WITHIN.days} day: {self.seen_at or 'never'}"
        if self.promoted_at is None or self.promoted_at <= self.drift_at:
            yield "no challenger was promoted for it"
        before, drifted, after = self.before, self.drifted, self.after
        if before.precision <= drifted.precision:
            yield "the drift did no harm to precision, so that nothing could recover"
            return
        if after.precision < (needed := _recovered(before.precision, drifted.precision)):
            yield f"precision didn't recover: {after.precision:.2f}, and {needed:.2f} makes up for half of the loss"
        if share_interval(after.caught, after.flagged)[0] <= drifted.precision:
            yield f"by chance alone, precision {after.precision:.2f} may be that of before the promotion"
        if after.f1 < (needed := _recovered(before.f1, drifted.f1)):
            yield (
                f"precision was bought with recall, {after.recall:.2f}: F1 is {after.f1:.2f}, and {needed:.2f} makes "
                "up for half of the loss"
            )

    @property
    def _former(self) -> set[str]:
        return {version for begin, by in self.days.items() if begin < self.drift_at for version in by}

    def _since_drift(self) -> Iterator[tuple[str, Counts]]:
        return (item for begin, by in self.days.items() if begin >= self.drift_at for item in by.items())


def _recovered(before: float, drifted: float) -> float:
    return drifted + RECOVERED_SHARE * (before - drifted)


def _sum(counts: Iterable[Counts]) -> Counts:
    return sum(counts, Counts())
