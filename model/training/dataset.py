"""The training table of a history: features, truth, and what was known of it when."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fraudstream.settings import EntityRiskSettings
from model.features.columns import FEATURE_NAMES, STATEFUL_FEATURES, STATIC_FEATURES
from model.features.static import StaticData
from model.training.entity_history import entity_features_as_of
from model.training.history import HistoryFolder, stateful_features

LEGITIMATE = "legitimate"
FRAUD = "fraud"  # the scenario, where nobody knows which
_STATIC_CHUNK = 50_000


@dataclass(frozen=True)
class Dataset:
    """A table for training: one row a transaction, by time; `features` is float64 [n, features].

    `rows` has customer_id, event_time, amount, labelled_at, labelled_fraud, is_fraud and scenario. Where nobody knows
    the truth (`from_labels`), is_fraud is what the labels say.
    """

    rows: pd.DataFrame
    features: np.ndarray
    from_labels: bool = False

    def part(self, chosen: np.ndarray) -> "Dataset":
        """The dataset of the rows where `chosen`, bool [n], is true."""
        return Dataset(self.rows[chosen], self.features[chosen], self.from_labels)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def truth(self) -> np.ndarray:
        """True fraud flags of the rows, bool [n]."""
        return self.rows["is_fraud"].to_numpy(bool)

    def known_fraud(self, moment: pd.Timestamp) -> np.ndarray:
        """Flags of rows labelled as fraud by `moment`, bool [n]; a transaction without a label counts as legitimate."""
        return (self.rows["labelled_fraud"] & (self.rows["labelled_at"] <= moment)).to_numpy(bool)


def build(
    folder: HistoryFolder, processes: int, progress: Callable[[int], None], entity_risk: EntityRiskSettings
) -> Dataset:
    """Computes the history's features and joins labels and truth. Raises HistoryError.

    Calls `progress` now and then with the number of events done.
    """
    stateful = stateful_features(folder, processes, progress)
    transactions = folder.table("transactions").drop_duplicates("transaction_id").set_index("transaction_id")
    transactions = transactions.loc[transactions.index.isin(stateful.index)]
    transactions = transactions.sort_values("event_time", kind="stable")
    static = StaticData.from_frames(folder.table("customers"), folder.table("products"))
    columns = stateful.reindex(transactions.index).to_numpy()
    own, joined = len(STATEFUL_FEATURES), len(STATEFUL_FEATURES) + len(STATIC_FEATURES)
    features = np.empty((len(transactions), len(FEATURE_NAMES)))
    features[:, :own] = columns[:, :own]
    for start in range(0, len(transactions), _STATIC_CHUNK):
        part = slice(start, start + _STATIC_CHUNK)
        features[part, own:joined] = static.features(transactions.iloc[part], columns[part, own:])
    labels = folder.table("labels")
    features[:, joined:] = entity_features_as_of(transactions, labels, static.categories, entity_risk)
    rows = _outcomes(folder, transactions[["customer_id", "event_time", "amount"]], labels)
    return Dataset(rows, features, from_labels=not folder.has("truth"))


def _outcomes(folder: HistoryFolder, transactions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """The last label and the truth of each transaction."""
    verdicts = labels.sort_values("labelled_at", kind="stable").groupby("transaction_id")
    rows = transactions.copy()
    rows["labelled_at"] = verdicts["labelled_at"].last()
    rows["labelled_fraud"] = verdicts["is_fraud"].last().reindex(rows.index).eq(True)
    if not folder.has("truth"):
        return rows.assign(
            is_fraud=rows["labelled_fraud"], scenario=np.where(rows["labelled_fraud"], FRAUD, LEGITIMATE)
        )
    truth = folder.table("truth").drop_duplicates("transaction_id").set_index("transaction_id")
    rows["is_fraud"] = truth["is_fraud"].reindex(rows.index).eq(True)
    rows["scenario"] = truth["scenario"].reindex(rows.index).fillna(LEGITIMATE)
    return rows
