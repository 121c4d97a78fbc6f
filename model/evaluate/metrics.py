"""The metrics of the Fraud Detection Handbook."""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

CARDS_A_DAY = 100


@dataclass(frozen=True)
class Metrics:
    """Metrics of a test period; the fields are the keys of `--json`."""

    auc_roc: float
    average_precision: float
    card_precision_at_100: float
    n_test: int
    n_fraud: int

    def as_json(self) -> dict[str, float | int]:
        """The metrics by their names, for programs."""
        return asdict(self)


def measure(frauds: np.ndarray, scores: np.ndarray, customers: np.ndarray, days: np.ndarray) -> Metrics:
    """Metrics of `scores` against `frauds`, one value a transaction of the test."""
    return Metrics(
        auc_roc=float(roc_auc_score(frauds, scores)),
        average_precision=float(average_precision_score(frauds, scores)),
        card_precision_at_100=card_precision(frauds, scores, customers, days, CARDS_A_DAY),
        n_test=len(frauds),
        n_fraud=int(frauds.sum()),
    )


def card_precision(
    frauds: np.ndarray, scores: np.ndarray, customers: np.ndarray, days: np.ndarray, cards: int
) -> float:
    """Mean over the days of the share of compromised ones among the `cards` with the highest score of the day.

    A card's score is that of its highest transaction. Compromised cards that were among the highest are blocked: they
    leave the following days. Divided by `cards` also on a day that has fewer. Equal scores go by customer.
    Source: the book's chapter 4, Precision top-k metrics (`card_precision_top_k`).
    """
    table = pd.DataFrame({"day": days, "customer": customers, "score": scores, "fraud": frauds})
    per_card = table.groupby(["day", "customer"], as_index=False).max()
    detected: set[int] = set()
    precisions = []
    for _, cards_of_day in per_card.groupby("day"):
        remaining = cards_of_day[~cards_of_day["customer"].isin(detected)]
        highest = remaining.sort_values(["score", "customer"], ascending=[False, True]).head(cards)
        compromised = highest.loc[highest["fraud"], "customer"]
        precisions.append(len(compromised) / cards)
        detected.update(compromised)
    return float(np.mean(precisions))
