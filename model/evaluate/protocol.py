"""The prequential protocol of the Fraud Detection Handbook: train, wait for the labels, test.

As `get_train_test_set` of the book's shared functions: Le Borgne, Siblini, Lebichot, Bontempi, "Reproducible Machine
Learning for Credit Card Fraud Detection", chapter 5, Validation strategies.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from fraudstream.errors import FraudstreamError
from model.durations import DAY_MS
from model.evaluate.history import History

_NEVER = np.iinfo(np.int64).max


class ProtocolError(FraudstreamError):
    """A history doesn't hold the periods asked for; the message says which are there."""


@dataclass(frozen=True)
class Protocol:
    """Training, delay and test periods of whole days in UTC, one after the other."""

    train_start: date
    train_days: int
    delay_days: int
    test_days: int

    @property
    def delay(self) -> timedelta:
        """The age at which a transaction's label is known."""
        return timedelta(days=self.delay_days)

    @property
    def train_end(self) -> date:
        """The day after training's last."""
        return self.train_start + timedelta(days=self.train_days)

    @property
    def test_start(self) -> date:
        """The first day of the test."""
        return self.train_end + self.delay

    @property
    def test_end(self) -> date:
        """The day after the test's last."""
        return self.test_start + timedelta(days=self.test_days)

    @classmethod
    def latest(cls, history: History, train_days: int, delay_days: int, test_days: int) -> "Protocol":
        """The protocol whose test ends with the history's last day whose labels are known by the newest of them."""
        days = timedelta(days=train_days + delay_days + test_days - 1)
        last = int(history.times[-1]) // DAY_MS
        if history.labelled_until is not None:
            last = min(last, history.labelled_until // DAY_MS - delay_days)
        return cls(_date(last) - days, train_days, delay_days, test_days)


@dataclass(frozen=True)
class Split:
    """Rows of a history, ascending. `labels` are those of the training as they were known when the test began.

    `days` has the day of each test row; `removed` counts what left the test.
    """

    train: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    days: np.ndarray
    removed: int


def split(history: History, protocol: Protocol) -> Split:
    """Splits by time. Raises ProtocolError when a period lies outside the history or has a single class.

    From each test day, the customers with a fraud since the start of training whose label is known when the day begins
    are removed: their cards are blocked. A label that came later than the delay blocks none, and one that came after
    the test began isn't learnt from.
    """
    days = history.times // DAY_MS
    begin, test_begin = _number(protocol.train_start), _number(protocol.test_start)
    if begin < days[0] or _number(protocol.test_end) > days[-1] + 1:
        raise ProtocolError(
            f"training from {protocol.train_start} and testing before {protocol.test_end} don't fit: "
            f"the history is from {_date(days[0])} until {_date(days[-1])}"
        )
    train = np.flatnonzero((days >= begin) & (days < _number(protocol.train_end)))
    tested = np.flatnonzero((days >= test_begin) & (days < _number(protocol.test_end)))
    compromised = _first_fraud_days(history, days, begin, protocol.delay)[history.customers[tested]]
    kept = tested[compromised >= days[tested] - protocol.delay_days]
    labels = {"training": history.frauds_before(test_begin * DAY_MS)[train], "test": history.frauds[kept]}
    for (name, found), rows in zip(labels.items(), (train, kept), strict=True):
        frauds = int(found.sum())
        if frauds in {0, len(rows)}:
            raise ProtocolError(
                f"the {name} period has {len(rows)} transactions with {frauds} frauds: both kinds are needed"
            )
    return Split(train, labels["training"], kept, days[kept], len(tested) - len(kept))


def _first_fraud_days(history: History, days: np.ndarray, begin: int, delay: timedelta) -> np.ndarray:
    """Each customer's first day since the day `begin` with a fraud that is known after the delay."""
    first = np.full(int(history.customers.max()) + 1, _NEVER)
    frauds = history.frauds_within(delay) & (days >= begin)
    np.minimum.at(first, history.customers[frauds], days[frauds])
    return first


def _number(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _date(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=int(number))
