"""What is known of terminals, for training: counted as the refresh's SQL does (`fraudstream.static_data.terminals`)."""

import numpy as np
import pandas as pd

from model.durations import HOUR_MS
from model.features.terminals import STILL_KNOWN, TerminalFacts
from model.training.entity_history import fraud_intervals, milliseconds


def terminal_features_as_of(transactions: pd.DataFrame, labels: pd.DataFrame) -> np.ndarray:
    """TERMINAL_FEATURES of each transaction at its own time, float64 [n, features].

    `transactions` is indexed by transaction_id, without repeats, and has event_time, terminal_id and shop_amount;
    `labels` is as that of `entity_features_as_of`.
    """
    return facts_of(transactions, labels).features(transactions)


def facts_of(transactions: pd.DataFrame, labels: pd.DataFrame) -> TerminalFacts:
    """What is known of the terminals of a history in any hour."""
    paid = transactions[transactions["terminal_id"].notna()]
    times = milliseconds(paid["event_time"])
    amounts = np.floor(paid["shop_amount"].to_numpy(float) * 100 + 0.5)
    hour = {"terminal_id": paid["terminal_id"].to_numpy(object), "hour": times // HOUR_MS}
    rows = pd.DataFrame(hour | {"cents": np.nan_to_num(amounts).astype(np.int64), "priced": ~np.isnan(amounts)})
    counted = rows.groupby(["terminal_id", "hour"], sort=False)
    hours = counted.agg(transactions=("cents", "size"), priced=("priced", "sum"), cents=("cents", "sum")).reset_index()
    told = fraud_intervals(paid.index, times, labels, np.full(len(times), STILL_KNOWN * HOUR_MS))
    frauds = rows.iloc[told.key].assign(
        known_from=_first_hour_after(told.start), known_until=_first_hour_after(told.end), frauds=1
    )
    return TerminalFacts.from_frames(hours, frauds)


def _first_hour_after(counts_ms: np.ndarray) -> np.ndarray:
    """The first hour that begins at or after these times (epoch milliseconds), in hours since 1970."""
    hours: np.ndarray = (counts_ms - 1) // HOUR_MS + 1
    return hours
