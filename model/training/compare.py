"""The comparison of challenger and champion: on the same transactions, with intervals of the differences.

Both of how they rank, and of what they flag: when a shop changes, a champion may rank as well as before, and flag far
too much.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score

RESAMPLES = 400
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """A figure of both, and the bootstrap interval of challenger less champion; NaN where nothing can be divided."""

    challenger: float
    champion: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison(Difference):
    """Average precisions on `transactions`, of which `frauds` are fraud."""

    transactions: int
    frauds: int

    @property
    def verdict(self) -> str:
        """The interval's meaning, in a sentence."""
        if self.low > 0:
            return "The challenger is better."
        return "The challenger is worse." if self.high < 0 else "No difference is shown."


@dataclass(frozen=True)
class FlagComparison:
    """What both flag, each from its own threshold on. F1 is the harmonic mean of precision and recall."""

    precision: Difference
    recall: Difference
    f1: Difference

    @property
    def is_better(self) -> bool:
        """True when the challenger's flags are shown to be better in precision and recall together."""
        return self.f1.low > 0


def compare(
    truth: np.ndarray, customers: np.ndarray, challenger: np.ndarray, champion: np.ndarray, seed: int
) -> Comparison:
    """Compares two models' scores [n] by average precision.

    Percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13) over customers, not
    transactions: the frauds of one attack aren't independent of each other. A function of its arguments.
    """
    _, owner = np.unique(customers, return_inverse=True)
    differences = []
    for drawn_customers in _resamples(int(owner.max()) + 1, seed):
        weights = drawn_customers[owner]
        drawn = weights > 0
        if truth[drawn].any():
            first, second = (
                average_precision_score(truth[drawn], scores[drawn], sample_weight=weights[drawn])
                for scores in (challenger, champion)
            )
            differences.append(first - second)
    low, high = _interval(np.array(differences))
    return Comparison(
        challenger=float(average_precision_score(truth, challenger)),
        champion=float(average_precision_score(truth, champion)),
        low=low,
        high=high,
        transactions=len(truth),
        frauds=int(truth.sum()),
    )


def compare_flags(
    truth: np.ndarray, customers: np.ndarray, challenger: np.ndarray, champion: np.ndarray, seed: int
) -> FlagComparison:
    """Compares what two models flag, bool [n], by precision, recall and F1. Resampled as in `compare`."""
    _, owner = np.unique(customers, return_inverse=True)
    told = (truth, challenger, challenger & truth, champion, champion & truth)
    counts = np.stack([np.bincount(owner, weights=each) for each in told], axis=1)
    sums = np.stack([counts.sum(axis=0), *(drawn @ counts for drawn in _resamples(len(counts), seed))])
    frauds, flagged, caught, champion_flagged, champion_caught = sums.T
    with np.errstate(invalid="ignore"):
        precisions = caught / flagged, champion_caught / champion_flagged
        recalls = caught / frauds, champion_caught / frauds
        f1s = 2 * caught / (flagged + frauds), 2 * champion_caught / (champion_flagged + frauds)
    return FlagComparison(_difference(*precisions), _difference(*recalls), _difference(*f1s))


def _difference(challenger: np.ndarray, champion: np.ndarray) -> Difference:
    """Of figures whose first is of all, and the others of resamples."""
    return Difference(float(challenger[0]), float(champion[0]), *_interval((challenger - champion)[1:]))


def _resamples(count: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of `count` customers is drawn, int [count], for each resample."""
    random = np.random.default_rng(seed)
    for _ in range(RESAMPLES):
        yield np.bincount(random.integers(0, count, count), minlength=count)


def _interval(differences: np.ndarray) -> tuple[float, float]:
    if np.isnan(differences).all():
        return np.nan, np.nan
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(differences, [tail, 1 - tail])
    return float(low), float(high)
