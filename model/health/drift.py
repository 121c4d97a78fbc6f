"""Drift: whether values are still distributed as they were, beyond what chance does to samples of their size.

The population stability index of two samples' shares p and q of the same bins is the sum of (q - p) ln(q / p). Of one
distribution, n and m draws make it about (1/n + 1/m) times a chi-squared variable with as many degrees of freedom as
bins, less one (B. Yurdakul, "Statistical Properties of Population Stability Index", 2018). Transactions of a customer
aren't independent, so that chance alone makes more than this: a breach must also be large in itself.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from model.health.figure import Figure

BINS = 10
#: By the usual reading, 0.1 to 0.25 is a change to look at, and more a shift.
LARGE = 0.2
#: Share of runs in which chance alone may exceed the bound for any of the subjects.
LEVEL = 0.01
#: Fewer transactions than this, of either sample, say nothing.
LEAST = 1_000


@dataclass(frozen=True)
class Distance:
    """The index of two samples, what it is by chance on average, and what it exceeds by chance at the level."""

    psi: float
    expected: float
    critical: float

    @property
    def is_drift(self) -> bool:
        """True when it is neither chance nor small."""
        return self.psi > max(self.critical, LARGE)


def distance(reference: np.ndarray, sample: np.ndarray, level: float = LEVEL) -> Distance:
    """Compares two samples, float [n] and [m], neither empty. NaN is a value of its own: a field that went missing."""
    edges = _edges(reference)
    first, second = _counts(reference, edges), _counts(sample, edges)
    used = (first + second) > 0
    first, second = first[used] + 0.5, second[used] + 0.5  # so that an empty bin has a logarithm
    p, q = first / first.sum(), second / second.sum()
    by_chance = 1 / len(reference) + 1 / len(sample)
    freedom = len(p) - 1
    critical = float(chi2.ppf(1 - level, freedom)) * by_chance if freedom else 0.0
    return Distance(float(((q - p) * np.log(q / p)).sum()), freedom * by_chance, critical)


def drift(reference: np.ndarray, sample: np.ndarray, subject: str, subjects: int, *, whole_day: bool) -> Figure:
    """The figure of one of so many subjects. Without a whole day of each, the time of day alone is a change."""
    size = min(len(reference), len(sample))
    if size < LEAST:
        return Figure("psi", subject, None, size, f"{size} transactions are too few to compare; {LEAST} are needed")
    found = distance(reference, sample, LEVEL / subjects)
    breached = found.is_drift and whole_day
    said = (
        f"PSI {found.psi:.3f} of {subject} against what the model saw first, and {found.critical:.3f} at most by chance"
    )
    return Figure("psi", subject, found.psi, size, said, found.expected, found.critical, breached)


def _edges(reference: np.ndarray) -> np.ndarray:
    known = reference[~np.isnan(reference)]
    if not len(known):
        return np.empty(0)
    return np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))


def _counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    known = values[~np.isnan(values)]
    # From the left, so that a value that many rows have is in a bin with what lies below it, not above.
    counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    return np.append(counts, len(values) - len(known)).astype(float)
