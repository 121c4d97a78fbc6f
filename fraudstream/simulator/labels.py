"""Delayed truth: chargebacks, analysts' verdicts and customers' calls.

Analysts are early, customers call within days, chargebacks take longest. Friendly fraud is known only when the customer
disputes the charge, weeks later.
"""

from dataclasses import dataclass

import numpy as np

from fraudstream.messages.contracts import LABEL_SOURCES
from fraudstream.simulator.columns import Array, Columns
from fraudstream.simulator.mix import SCENARIOS
from fraudstream.simulator.sessions import Transactions

SOURCES = LABEL_SOURCES

#: Share of legitimate transactions that somebody confirms.
LEGITIMATE_SHARE = 0.2

_FRAUD_SOURCES = (0.7, 0.1, 0.2)
_LEGITIMATE_SOURCES = (0.0, 0.9, 0.1)
#: Mean delay by source, over the mean delay of all fraud that isn't disputed late.
_DELAY_BY_SOURCE = np.array([1.2, 0.2, 0.7])
_DELAY_SHAPE = 3.0  # of a gamma distribution: few labels come at once
_DISPUTED_LATE = 5.0  # median delay of a late dispute, over the same mean
_DISPUTED_LATE_SPREAD = 0.3  # sigma of its logarithm
_DISPUTED = np.array([False, *(scenario.disputed_late for scenario in SCENARIOS)])


@dataclass
class Labels(Columns):
    """One row a label. `transaction` is the row's position among the transactions that were labelled."""

    time: Array  # ms since the epoch
    transaction: Array
    is_fraud: Array
    source: Array  # index into SOURCES


def label(rng: np.random.Generator, transactions: Transactions, mean_delay_ms: float) -> Labels:
    """Labels every fraud and `LEGITIMATE_SHARE` of the rest, in the rows' order.

    `mean_delay_ms` is the mean for fraud that isn't disputed late: chargebacks come later, analysts' verdicts earlier.
    """
    fraud = transactions.scenario > 0
    row = np.flatnonzero(fraud | (rng.random(len(transactions)) < LEGITIMATE_SHARE))
    rows = len(row)
    source = np.where(fraud[row], rng.choice(3, rows, p=_FRAUD_SOURCES), rng.choice(3, rows, p=_LEGITIMATE_SOURCES))
    delay = _DELAY_BY_SOURCE[source] * rng.gamma(_DELAY_SHAPE, 1 / _DELAY_SHAPE, rows)
    late = _DISPUTED[transactions.scenario[row]]
    delay = np.where(late, _DISPUTED_LATE * np.exp(_DISPUTED_LATE_SPREAD * rng.standard_normal(rows)), delay)
    return Labels(
        time=transactions.time[row] + 1 + (mean_delay_ms * delay).astype(np.int64),
        transaction=row,
        is_fraud=fraud[row],
        source=np.where(late, SOURCES.index("chargeback"), source),
    )
