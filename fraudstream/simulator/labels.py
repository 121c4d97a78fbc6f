"""Delayed truth: chargebacks, analysts' verdicts and customers' calls."""

from dataclasses import dataclass

import numpy as np

from fraudstream.simulator.columns import Array, Columns
from fraudstream.simulator.sessions import Transactions

SOURCES = ("chargeback", "analyst", "customer")

#: Share of legitimate transactions that somebody confirms.
LEGITIMATE_SHARE = 0.2

_FRAUD_SOURCES = (0.7, 0.1, 0.2)
_LEGITIMATE_SOURCES = (0.0, 0.9, 0.1)


@dataclass
class Labels(Columns):
    """One row a label. `transaction` is the row's position among the transactions that were labelled."""

    time: Array  # ms since the epoch
    transaction: Array
    is_fraud: Array
    source: Array  # index into SOURCES


def label(rng: np.random.Generator, transactions: Transactions, mean_delay_ms: float) -> Labels:
    """Labels every fraud and `LEGITIMATE_SHARE` of the rest, each after an exponential delay, in the rows' order."""
    fraud = transactions.scenario > 0
    row = np.flatnonzero(fraud | (rng.random(len(transactions)) < LEGITIMATE_SHARE))
    rows = len(row)
    return Labels(
        time=transactions.time[row] + 1 + rng.exponential(mean_delay_ms, rows).astype(np.int64),
        transaction=row,
        is_fraud=fraud[row],
        source=np.where(fraud[row], rng.choice(3, rows, p=_FRAUD_SOURCES), rng.choice(3, rows, p=_LEGITIMATE_SOURCES)),
    )
