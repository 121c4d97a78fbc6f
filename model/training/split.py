"""The split of a history by time, into training, validation and test periods."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from model.training.dataset import Dataset
from model.training.errors import TrainingError

TEST_SHARE = 0.25
VALIDATION_SHARE = 0.25  # of what comes before the test period
MATURITY = 0.95  # share of the frauds whose label has arrived when a period is used
MIN_FRAUDS = 20


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
        """Periods (ISO 8601) and counts of the parts, for the metadata."""
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
    delay = _label_delay(data)
    if data.from_labels:  # what is newer can't be judged yet
        data = data.part((data.rows["event_time"] <= data.rows["event_time"].max() - delay).to_numpy())
    times = data.rows["event_time"]
    start, end = times.min(), times.max()
    trained_at = end - (end - start) * TEST_SHARE
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
    """Time within which the MATURITY share of the frauds' labels arrive."""
    frauds = data.rows[data.rows["labelled_fraud"]]
    if frauds.empty:
        return pd.Timedelta(0)
    delays = (frauds["labelled_at"] - frauds["event_time"]).dt.total_seconds()
    return pd.Timedelta(seconds=float(delays.quantile(MATURITY)))
