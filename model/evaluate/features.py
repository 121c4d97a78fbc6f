"""Features that a history's columns allow, as they were known when each transaction came: docs/evaluate.md has a table.

Amounts and times count from the moment they happen, labels only when they are `delay` old. A quotient without a
denominator, or a habit without an earlier transaction, is NaN: the trees take it as a value of its own.
"""

from datetime import timedelta

import numpy as np
import pandas as pd

from model.durations import DAY_MS, HOUR_MS
from model.evaluate.history import History
from model.evaluate.windows import Entity

Features = dict[str, np.ndarray]

DAY = timedelta(days=1)
WINDOWS = {"1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
RISK_WINDOWS = {"1d": DAY, "7d": 7 * DAY, "14d": 14 * DAY, "30d": 30 * DAY, "ever": None}
HABIT = 100  # latest transactions that make the median and the shares
BLOCK = 100_000  # rows whose latest transactions are in memory at a time
RECENT = 20
RISK_MEMORY = 30  # latest known transactions of a terminal that are looked at one by one
RISK_HORIZON_DAYS = 60  # an older fraud begins no present series
UNUSUAL = 2.5  # times one's own mean: beyond most of a habit with a deviation of half its mean
PRIOR_WEIGHT = 5  # transactions that the overall fraud rate counts for in a terminal's rate
_THURSDAY = 3  # 1970-01-01


def build(history: History, rows: np.ndarray, delay: timedelta) -> pd.DataFrame:
    """The features of `rows`, one row each, in their order. What comes later in `history` changes none of them."""
    with np.errstate(divide="ignore", invalid="ignore"):
        unusual = _times_own_mean(history)
        features = {
            **_transaction(history, rows),
            **_customer(history, rows, unusual, delay),
        }
        if history.terminals is not None:
            features |= _terminal(history, rows, history.terminals, unusual, delay)
            features |= _pair(history, rows, history.terminals)
    frame = pd.DataFrame(features, dtype=np.float32)
    return frame.replace([np.inf, -np.inf], np.nan)


def _times_own_mean(history: History) -> np.ndarray:
    """Every transaction's amount as a multiple of the customer's mean before it; NaN for the first."""
    customer = Entity(history.customers, _elapsed(history), np.arange(len(history)))
    (total,) = customer.sums(history.amounts, customer.ever)
    multiples: np.ndarray = history.amounts / (total / customer.ever.count)
    return multiples


def _elapsed(history: History) -> np.ndarray:
    elapsed: np.ndarray = history.times - history.times[0]
    return elapsed


def _transaction(history: History, rows: np.ndarray) -> Features:
    times = history.times[rows]
    return {
        "amount": history.amounts[rows],
        "hour_of_day": times % DAY_MS / HOUR_MS,
        "day_of_week": (times // DAY_MS + _THURSDAY) % 7,
    }


def _customer(history: History, rows: np.ndarray, times_own_mean: np.ndarray, delay: timedelta) -> Features:
    """The customer's pace, and the amount against the customer's own habit."""
    amounts, amount = history.amounts, history.amounts[rows]
    customer = Entity(history.customers, _elapsed(history), rows)
    ever, known = customer.ever, customer.known(delay)
    spans = {name: customer.within(window) for name, window in WINDOWS.items()} | {"ever": ever}
    unusual = (times_own_mean > UNUSUAL).astype(float)
    features: Features = {"seconds_since_customers_last": _seconds_since(history, rows, customer)}
    totals = dict(zip(spans, customer.sums(amounts, *spans.values()), strict=True))
    unusuals = dict(zip(spans, customer.sums(unusual, *spans.values()), strict=True))
    for name, span in spans.items():
        features[f"customer_count_{name}"] = span.count
        features[f"customer_mean_{name}"] = totals[name] / span.count
        features[f"customer_unusual_{name}"] = unusuals[name]
    mean = features["customer_mean_ever"]
    (squares,) = customer.sums(amounts**2, ever)
    deviation = np.sqrt(np.maximum(squares / ever.count - mean**2, 0))
    (legitimate_total,) = customer.sums(amounts * ~history.frauds, known)
    (known_frauds,) = customer.sums(history.frauds.astype(float), known)
    features |= {
        "customer_deviation": deviation,
        "amount_to_mean": amount / mean,
        "amount_to_mean_7d": amount / features["customer_mean_7d"],
        "amount_in_deviations": (amount - mean) / deviation,
        "amount_to_maximum": amount / customer.largest(amounts),
        "amount_to_legitimate_mean": amount / (legitimate_total / (known.count - known_frauds)),
        "customers_last_to_mean": customer.latest(times_own_mean, ever),
    }
    recent_multiples = customer.recent(times_own_mean, customer.within(14 * DAY), RECENT)
    features["customer_highest_to_mean_14d"] = _nan_max(recent_multiples)
    blocks = [slice(start, start + BLOCK) for start in range(0, len(rows), BLOCK)]
    habits = [_habit(amount[block], customer.recent(amounts, ever.part(block), HABIT)) for block in blocks]
    return features | {name: np.concatenate([habit[name] for habit in habits]) for name in habits[0]}


def _habit(amount: np.ndarray, recent: np.ndarray) -> Features:
    """The amount among the customer's latest ones, `recent`, newest first."""
    count = (~np.isnan(recent)).sum(axis=1)
    above = recent >= amount[:, None]
    ordered = np.sort(recent, axis=1)  # NaN last
    middle = _ordered_at(ordered, count, 0.5)
    return {
        "customer_median": middle,
        "amount_to_median": amount / middle,
        "amount_to_90th_percentile": amount / _ordered_at(ordered, count, 0.9),
        f"share_above_of_{RECENT}": above[:, :RECENT].sum(axis=1) / np.minimum(count, RECENT),
        f"share_above_of_{HABIT}": above.sum(axis=1) / count,
    }


def _ordered_at(ordered: np.ndarray, count: np.ndarray, share: float) -> np.ndarray:
    """The lower quantile of each row's first `count` values; NaN when there are none."""
    place = np.floor(share * np.maximum(count - 1, 0)).astype(int)
    found: np.ndarray = ordered[np.arange(len(ordered)), place]
    return found


def _terminal(
    history: History, rows: np.ndarray, terminals: np.ndarray, times_own_mean: np.ndarray, delay: timedelta
) -> Features:
    """The terminal's pace, and its risk from labels that are known."""
    frauds = history.frauds.astype(float)
    ordinary = (history.frauds & ~(times_own_mean > UNUSUAL)).astype(float)
    terminal = Entity(terminals, _elapsed(history), rows)
    features: Features = {"seconds_since_terminals_last": _seconds_since(history, rows, terminal)}
    for name, window in WINDOWS.items():
        span = terminal.within(window)
        features[f"terminal_count_{name}"] = span.count
        features[f"terminal_mean_{name}"] = terminal.sums(history.amounts, span)[0] / span.count
    overall = _known_rate(history, rows, delay)
    for name, risk_window in RISK_WINDOWS.items():
        known = terminal.known(delay, risk_window)
        (known_frauds,) = terminal.sums(frauds, known)
        features[f"terminal_known_{name}"] = known.count
        features[f"terminal_frauds_{name}"] = known_frauds
        features[f"terminal_ordinary_frauds_{name}"] = terminal.sums(ordinary, known)[0]
        features[f"terminal_rate_{name}"] = (known_frauds + PRIOR_WEIGHT * overall) / (known.count + PRIOR_WEIGHT)
    return features | _risk_series(history, rows, terminal, ordinary, delay)


def _known_rate(history: History, rows: np.ndarray, delay: timedelta) -> np.ndarray:
    """The share of frauds among all transactions whose label is known at each row; 0 when none is."""
    until = history.times[rows] - delay // timedelta(milliseconds=1)
    count = np.minimum(np.searchsorted(history.times, until, side="right"), rows)
    frauds = np.concatenate([[0], np.cumsum(history.frauds)])[count]
    rate: np.ndarray = frauds / np.maximum(count, 1)
    return rate


def _risk_series(
    history: History, rows: np.ndarray, terminal: Entity, ordinary: np.ndarray, delay: timedelta
) -> Features:
    """Ages of the terminal's known frauds and of the honest transactions after them."""
    known = terminal.known(delay)
    fraud = terminal.recent(history.frauds, known, RISK_MEMORY)
    days = (history.times[rows][:, None] - terminal.recent(history.times, known, RISK_MEMORY)) / DAY_MS
    without_sign = terminal.recent(ordinary, known, RISK_MEMORY)
    lately = days < RISK_HORIZON_DAYS
    features = {f"terminal_frauds_of_last_{size}": np.nansum(fraud[:, :size], axis=1) for size in (1, 3, 10)}
    return features | {
        "days_since_terminals_last_fraud": _nan_min(np.where(fraud == 1, days, np.nan)),
        "days_since_terminals_first_fraud": _nan_max(np.where((fraud == 1) & lately, days, np.nan)),
        "days_since_terminals_last_ordinary_fraud": _nan_min(np.where(without_sign == 1, days, np.nan)),
        "days_since_terminals_first_ordinary_fraud": _nan_max(np.where((without_sign == 1) & lately, days, np.nan)),
        "days_since_terminals_last_legitimate": _nan_min(np.where(fraud == 0, days, np.nan)),
    }


def _pair(history: History, rows: np.ndarray, terminals: np.ndarray) -> Features:
    """The customer at this terminal."""
    pairs = history.customers.astype(np.int64) * (int(terminals.max()) + 1) + terminals
    pair = Entity(pd.factorize(pairs)[0], _elapsed(history), rows)
    return {
        "customers_times_at_terminal": pair.ever.count,
        "seconds_since_customer_at_terminal": _seconds_since(history, rows, pair),
    }


def _seconds_since(history: History, rows: np.ndarray, entity: Entity) -> np.ndarray:
    elapsed: np.ndarray = history.times[rows] - entity.latest(history.times, entity.ever)
    return elapsed / 1000


def _nan_max(values: np.ndarray) -> np.ndarray:
    """Each row's largest value; NaN where it has none."""
    found: np.ndarray = np.fmax.reduce(values, axis=1)
    return found


def _nan_min(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.fmin.reduce(values, axis=1)
    return found
