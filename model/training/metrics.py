"""Metrics of scores, against the truth of a period that came later than the training's."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from model.training.dataset import LEGITIMATE, Dataset
from model.training.thresholds import ThresholdRule, threshold_for

CARDS = 100
#: Edges of the reliability bins: most scores are small.
RELIABILITY_EDGES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


def evaluate(data: Dataset, scores: np.ndarray, threshold: float, rule: ThresholdRule) -> dict[str, Any]:
    """Metrics of `scores` [n], probabilities, for the transactions of `data`; recall by scenario too.

    `recall_at_budget` is at exactly `rule.alerts_per_fraud`, whatever the threshold; amounts are in the shop currency,
    without those that no exchange rate is known for. Reliability is one row a bin: how many, their mean score, and
    which share of them was fraud.
    """
    truth, flagged = data.truth, scores >= threshold
    amounts = data.known_amounts
    scenarios = data.rows["scenario"].to_numpy()
    frauds = int(truth.sum())
    budget = threshold_for(scores, round(frauds * rule.alerts_per_fraud))
    saved = float(amounts[truth & flagged].sum())
    return {
        "transactions": len(data),
        "frauds": frauds,
        "flagged": int(flagged.sum()),
        "roc_auc": float(roc_auc_score(truth, scores)),
        "average_precision": float(average_precision_score(truth, scores)),
        "card_precision_at_100": card_precision(data.rows, truth, scores),
        "best_card_precision_at_100": card_precision(data.rows, truth, truth.astype(float)),
        "precision": float(precision_score(truth, flagged, zero_division=0)),
        "recall": float(recall_score(truth, flagged)),
        "recall_at_budget": float(recall_score(truth, scores >= budget)),
        "fraud_amount": round(float(amounts[truth].sum()), 2),
        "saved_amount": round(saved, 2),
        "net_saved_amount": round(saved - rule.review_cost * int(flagged.sum()), 2),
        "brier": float(brier_score_loss(truth, scores)),
        "reliability": reliability(truth, scores),
        "recall_by_scenario": {
            str(name): float(flagged[scenarios == name].mean()) for name in sorted(set(scenarios)) if name != LEGITIMATE
        },
    }


def card_precision(rows: pd.DataFrame, truth: np.ndarray, scores: np.ndarray, cards: int = CARDS) -> float:
    """Share of each day's `cards` customers with the highest scores that had a fraud that day; mean over days.

    Card precision top-k of the Fraud Detection Handbook, with a customer for a card, but detected ones stay on the
    following days (`model.evaluate.metrics` blocks them, as the book does); days begin at midnight, UTC.
    """
    frame = pd.DataFrame(
        {"day": rows["event_time"].dt.floor("D").to_numpy(), "card": rows["customer_id"].to_numpy(), "score": scores}
    ).assign(fraud=truth)
    by_card = frame.groupby(["day", "card"], sort=True).agg(score=("score", "max"), fraud=("fraud", "max"))
    highest = by_card.sort_values("score", ascending=False, kind="stable").groupby(level="day").head(cards)
    return float((highest.groupby(level="day")["fraud"].sum() / cards).mean())


def reliability(truth: np.ndarray, scores: np.ndarray) -> list[dict[str, float]]:
    """One row for each bin that holds a score: from, transactions, mean_score and fraud_share."""
    bins = np.clip(np.digitize(scores, RELIABILITY_EDGES) - 1, 0, len(RELIABILITY_EDGES) - 2)
    return [
        {
            "from": RELIABILITY_EDGES[number],
            "transactions": int((bins == number).sum()),
            "mean_score": float(scores[bins == number].mean()),
            "fraud_share": float(truth[bins == number].mean()),
        }
        for number in np.unique(bins)
    ]
