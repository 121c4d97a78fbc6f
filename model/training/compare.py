"""The comparison of challenger and champion: on the same transactions, with an interval of the difference."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score

RESAMPLES = 400
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Comparison:
    """Average precisions, and the bootstrap interval of their difference, challenger less champion."""

    challenger: float
    champion: float
    low: float
    high: float
    transactions: int
    frauds: int

    @property
    def verdict(self) -> str:
        """The interval's meaning, in a sentence."""
        if self.low > 0:
            return "The challenger is better."
        return "The challenger is worse." if self.high < 0 else "No difference is shown."


def compare(
    truth: np.ndarray, customers: np.ndarray, challenger: np.ndarray, champion: np.ndarray, seed: int
) -> Comparison:
    """Compares two models' scores [n] by average precision.

    Percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13) over customers, not
    transactions: the frauds of one attack aren't independent of each other. A function of its arguments.
    """
    random = np.random.default_rng(seed)
    _, owner = np.unique(customers, return_inverse=True)
    count = int(owner.max()) + 1
    differences = []
    for _ in range(RESAMPLES):
        weights = np.bincount(random.integers(0, count, count), minlength=count)[owner]
        drawn = weights > 0
        if truth[drawn].any():
            first, second = (
                average_precision_score(truth[drawn], scores[drawn], sample_weight=weights[drawn])
                for scores in (challenger, champion)
            )
            differences.append(first - second)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return Comparison(
        challenger=float(average_precision_score(truth, challenger)),
        champion=float(average_precision_score(truth, champion)),
        low=float(low),
        high=float(high),
        transactions=len(truth),
        frauds=int(truth.sum()),
    )
