"""The score from which on a transaction is flagged: for the alerts that a team can review, or at the least cost."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Period:
    """Data to choose a threshold on: calibrated scores, known frauds and amounts, float64 or bool [n], over `days`."""

    scores: np.ndarray
    frauds: np.ndarray
    amounts: np.ndarray
    days: float


@dataclass(frozen=True)
class ThresholdRule:
    """The rule for the threshold: by `alerts_per_day` where given, or by cost, or else by `alerts_per_fraud`.

    A reviewed alert costs `review_cost`, in units of the shop currency; a missed fraud costs its amount.
    """

    alerts_per_fraud: float
    alerts_per_day: float | None = None
    by_cost: bool = False
    review_cost: float = 5.0

    def choose(self, period: Period) -> float:
        """The lowest score that is flagged."""
        if self.by_cost:
            return cheapest_threshold(period, self.review_cost)
        if self.alerts_per_day is not None:
            return threshold_for(period.scores, round(self.alerts_per_day * period.days))
        return threshold_for(period.scores, round(int(period.frauds.sum()) * self.alerts_per_fraud))

    def describe(self) -> str:
        """The rule in words, for the model card."""
        if self.by_cost:
            return f"the least cost, with {self.review_cost:g} a review and a missed fraud at its amount"
        if self.alerts_per_day is not None:
            return f"{self.alerts_per_day:g} alerts a day"
        return f"{self.alerts_per_fraud:g} alerts a fraud"


def threshold_for(scores: np.ndarray, alerts: int) -> float:
    """The score that `alerts` of `scores` reach; at least one does."""
    alerts = min(len(scores), max(1, alerts))
    return float(np.sort(scores)[-alerts])


def cheapest_threshold(period: Period, review_cost: float) -> float:
    """The threshold with the least cost of reviews and missed frauds; at equal cost, the one with fewer alerts."""
    order = np.argsort(-period.scores, kind="stable")
    scores = period.scores[order]
    caught = np.cumsum(np.where(period.frauds[order], period.amounts[order], 0.0))
    cost = review_cost * np.arange(1, len(scores) + 1) - caught
    last_of_its_score = np.append(scores[1:] != scores[:-1], True)
    return float(scores[np.argmin(np.where(last_of_its_score, cost, np.inf))])
