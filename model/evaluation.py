"""The split by time, the threshold and the metrics."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, precision_score, recall_score, roc_auc_score

from fraudstream.errors import FraudstreamError
from model.dataset import LEGITIMATE, Dataset

TEST_SHARE = 0.25
VALIDATION_SHARE = 0.25  # of what comes before the test period
MATURITY = 0.95  # share of the frauds whose label has arrived when a period is used
MIN_FRAUDS = 20


class TrainingError(FraudstreamError):
    """A history can't be used for training; the message says why."""


@dataclass(frozen=True)
class Split:
    """A history cut by time, as a model is trained and then used: training, validation, (delay), test.

    The test period begins when the model is trained, and only labels that came by then, `labelled_by`, are used.
    Transactions of the `delay` before aren't used at all: most labels of their frauds were still to come. When the
    history is shorter than twice that delay, training waits for the labels instead.
    """

    training: Dataset
    validation: Dataset
    test: Dataset
    labelled_by: pd.Timestamp
    delay: pd.Timedelta

    def describe(self) -> dict[str, Any]:
        """Periods and counts, for the metadata."""
        parts = {"training": self.training, "validation": self.validation, "test": self.test}
        periods = {
            name: {
                "from": part.rows["event_time"].min().isoformat(),
                "until": part.rows["event_time"].max().isoformat(),
                "transactions": len(part),
                "frauds": int(part.truth.sum()),
            }
            for name, part in parts.items()
        }
        return {"label_delay_seconds": self.delay.total_seconds(), **periods}


def split_by_time(data: Dataset) -> Split:
    """Cuts `data` by time, never by chance. Raises TrainingError when a period would have too few frauds."""
    times = data.rows["event_time"]
    start, end = times.min(), times.max()
    trained_at = end - (end - start) * TEST_SHARE
    delay = _label_delay(data)
    labelled_by = trained_at
    if delay > (end - start) / 2:  # a short history: the model is trained later, when the labels have come
        labelled_by, delay = pd.Timestamp.max.tz_localize("UTC"), pd.Timedelta(0)
    mature = trained_at - delay
    validated = mature - (mature - start) * VALIDATION_SHARE
    parts = {
        "training": data.part((times < validated).to_numpy()),
        "validation": data.part(((times >= validated) & (times < mature)).to_numpy()),
        "test": data.part((times >= trained_at).to_numpy()),
    }
    for name, part in parts.items():
        if part.truth.sum() < MIN_FRAUDS:
            raise TrainingError(
                f"the {name} period has {part.truth.sum()} frauds among {len(part)} transactions, and {MIN_FRAUDS} are "
                f"needed (labels arrive after {delay}): use a longer history"
            )
    return Split(**parts, labelled_by=labelled_by, delay=delay)


def _label_delay(data: Dataset) -> pd.Timedelta:
    """Within this time, the MATURITY share of the frauds' labels arrive."""
    frauds = data.rows[data.rows["labelled_fraud"]]
    if frauds.empty:
        return pd.Timedelta(0)
    delays = (frauds["labelled_at"] - frauds["event_time"]).dt.total_seconds()
    return pd.Timedelta(seconds=float(delays.quantile(MATURITY)))


def choose_threshold(scores: np.ndarray, frauds: int, capacity_ratio: float) -> float:
    """The score above which `capacity_ratio` alerts a fraud are raised, for scores of a period with `frauds` frauds."""
    alerts = min(len(scores), max(1, round(frauds * capacity_ratio)))
    return float(np.sort(scores)[-alerts])


def evaluate(data: Dataset, scores: np.ndarray, threshold: float) -> dict[str, Any]:
    """Metrics against the truth of a period; recall by scenario too."""
    truth, flagged = data.truth, scores >= threshold
    scenarios = data.rows["scenario"].to_numpy()
    recalls = {
        str(name): float(flagged[scenarios == name].mean()) for name in sorted(set(scenarios)) if name != LEGITIMATE
    }
    return {
        "transactions": len(data),
        "frauds": int(truth.sum()),
        "flagged": int(flagged.sum()),
        "roc_auc": float(roc_auc_score(truth, scores)),
        "average_precision": float(average_precision_score(truth, scores)),
        "precision": float(precision_score(truth, flagged, zero_division=0)),
        "recall": float(recall_score(truth, flagged)),
        "recall_by_scenario": recalls,
    }
