"""Entity risk for training: each transaction gets what the stream would have joined to it, and nothing from later.

Live, a refresh for `as_of` is published a moment later, and joined by the micro-batches that begin after that. So a
transaction is given the newest refresh that is at least `publication_seconds` before it. The counts are those of the
refresh's SQL (`fraudstream.static_data.entity_risk`): each transaction, label or customer counts for the refreshes in
one interval of time, and the number of intervals that hold a moment is a difference of two binary searches.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fraudstream.settings import EntityRiskSettings
from fraudstream.static_data.entities import EntityType, newest_refresh, window_end
from model.features.entity_risk import Counts, Uses, entity_features, uses_of


@dataclass(frozen=True)
class Intervals:
    """Half-open intervals [start, end) of `key`, int64 [n] each; one that ends before it starts is none."""

    key: np.ndarray
    start: np.ndarray
    end: np.ndarray

    def holding(self, key: np.ndarray, moment: np.ndarray) -> np.ndarray:
        """Number of intervals of each key that hold each moment; float64 [n]."""
        proper = self.start < self.end
        if not proper.any() or not len(moment):
            return np.zeros(len(moment))
        start, end = self.start[proper], self.end[proper]
        first = min(int(start.min()), int(moment.min()))
        span = max(int(end.max()), int(moment.max())) - first + 1
        if (int(max(self.key.max(), key.max())) + 1) * span > np.iinfo(np.int64).max:  # ranks are as good as times
            instants = np.unique(np.concatenate([start, end]))
            start, end, moment = (np.searchsorted(instants, times, "right") for times in (start, end, moment))
            first, span = 0, len(instants) + 1
        started, ended = (np.sort(self.key[proper] * span + (times - first)) for times in (start, end))
        order = np.argsort(wanted := key * span + (moment - first))  # in order, since that is kind to the cache
        found = np.empty(len(moment))
        ascending = wanted[order]
        found[order] = np.searchsorted(started, ascending, "right") - np.searchsorted(ended, ascending, "right")
        return found


def entity_features_as_of(
    transactions: pd.DataFrame, labels: pd.DataFrame, categories: pd.Series, settings: EntityRiskSettings
) -> np.ndarray:
    """ENTITY_FEATURES of each transaction at its own time, float64 [n, features].

    `transactions` is indexed by transaction_id, without repeats, and has event_time, customer_id and what
    `EntityRisk.features` needs; `labels` has transaction_id, is_fraud and labelled_at, in order of arrival where two
    times are equal; `categories` are the names by product_id.
    """
    times = milliseconds(transactions["event_time"])
    as_of = newest_refresh(times - settings.publication_seconds * 1000, settings.refresh_minutes)
    customers = pd.factorize(transactions["customer_id"])[0]
    frauds = fraud_intervals(transactions.index, times, labels, window_end(times))
    everything = np.zeros(len(times), np.int64)
    all_frauds = Intervals(np.zeros_like(frauds.key), frauds.start, frauds.end).holding(everything, as_of)
    all_transactions = Intervals(everything, times + 1, window_end(times)).holding(everything, as_of)
    base = np.divide(all_frauds, all_transactions, out=np.full(len(times), np.nan), where=all_transactions > 0)
    uses, counts = {}, {}
    for entity_type in EntityType:
        use = uses[entity_type] = uses_of(entity_type, transactions, categories)
        coded = Uses(use.row, pd.factorize(use.entity)[0].astype(np.int64))
        counts[entity_type] = _counts(coded, times, customers, frauds, as_of)
    return entity_features(uses, counts, base)


def _counts(uses: Uses, times: np.ndarray, customers: np.ndarray, frauds: Intervals, as_of: np.ndarray) -> Counts:
    row, entity = uses.row, uses.entity
    used, until, asked = times[row], window_end(times[row]), as_of[row]
    # the uses of each transaction lie side by side
    first, last = np.searchsorted(row, frauds.key, "left"), np.searchsorted(row, frauds.key, "right")
    repeats = last - first
    use = np.repeat(first, repeats) + _count_up(repeats)
    of_frauds = Intervals(entity[use], np.repeat(frauds.start, repeats), np.repeat(frauds.end, repeats))
    return Counts(
        Intervals(entity, used + 1, until).holding(entity, asked),
        of_frauds.holding(entity, asked),
        _customer_intervals(entity, customers[row], used, until).holding(entity, asked),
    )


def _customer_intervals(entity: np.ndarray, customer: np.ndarray, used: np.ndarray, until: np.ndarray) -> Intervals:
    """Times in which a customer counts for an entity: each use until the customer's next one there, or its own end."""
    order = np.lexsort((used, customer, entity))
    entity, customer, used, until = entity[order], customer[order], used[order], until[order]
    same = (entity[1:] == entity[:-1]) & (customer[1:] == customer[:-1])
    until[:-1] = np.where(same, np.minimum(until[:-1], used[1:] + 1), until[:-1])
    return Intervals(entity, used + 1, until)


def fraud_intervals(identifiers: pd.Index, times: np.ndarray, labels: pd.DataFrame, until: np.ndarray) -> Intervals:
    """Times in which a transaction (by its row, ascending) counts as fraud: from a label that says so to the next.

    At most until its time in `until`. As everywhere here, a label counts from the millisecond after its own.
    """
    row = identifiers.get_indexer(pd.Index(labels["transaction_id"]))
    labelled = milliseconds(labels["labelled_at"])
    is_fraud = labels["is_fraud"].to_numpy(bool)
    known = np.flatnonzero(row >= 0)
    counted = known[labelled[known] >= times[row[known]]]
    row, labelled, is_fraud = row[counted], labelled[counted], is_fraud[counted]
    order = np.lexsort((labelled, row))
    row, labelled, is_fraud = row[order], labelled[order], is_fraud[order]
    end = until[row]
    same = row[1:] == row[:-1]
    end[:-1] = np.where(same, np.minimum(end[:-1], labelled[1:] + 1), end[:-1])
    return Intervals(row[is_fraud], labelled[is_fraud] + 1, end[is_fraud])


def _count_up(repeats: np.ndarray) -> np.ndarray:
    """0, 1, … for each of `repeats`: [2, 0, 3] gives [0, 1, 0, 1, 2]."""
    ends = np.cumsum(repeats)
    counted: np.ndarray = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - repeats, repeats)
    return counted


def milliseconds(times: pd.Series) -> np.ndarray:
    """Epoch milliseconds of times with a zone, int64 [n]."""
    found: np.ndarray = times.astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    return found
