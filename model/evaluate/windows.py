"""Point-in-time windows over the earlier transactions of an entity (a customer, a terminal), vectorised.

All cost is linear in the history, however many transactions one entity has. Sums run per entity, so that not even a
rounding error comes from a later transaction or from another entity.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Ranges:
    """Half-open ranges of an Entity's order, one for each row asked about: what was earlier and in the window."""

    start: np.ndarray
    end: np.ndarray

    @property
    def count(self) -> np.ndarray:
        """Number of transactions in each range."""
        found: np.ndarray = self.end - self.start
        return found

    def part(self, rows: slice) -> "Ranges":
        """The ranges of some of the rows."""
        return Ranges(self.start[rows], self.end[rows])


class Entity:
    """A history of transactions, ordered by entity and then by time, and the `rows` that are asked about.

    :param codes: the entity of each transaction, as integers from 0; the transactions in the order of time.
    :param times: milliseconds since the history's first transaction, ascending.
    :param rows: positions in the history; every result has one value for each of them.
    """

    def __init__(self, codes: np.ndarray, times: np.ndarray, rows: np.ndarray) -> None:
        self.order = np.argsort(codes, kind="stable")
        self._codes = codes[self.order]
        self._times, self._asked = times, times[rows]
        self._entity = codes[rows].astype(np.int64) * (len(times) + 1)
        # An instant's rank is how many transactions came until then: with times themselves, keys would overflow.
        ranks = np.searchsorted(times, times, side="right")[self.order]
        self._keys = self._codes.astype(np.int64) * (len(times) + 1) + ranks
        first = np.flatnonzero(np.diff(self._codes, prepend=-1))
        self._starts = np.repeat(first, np.diff(first, append=len(codes)))
        position = np.empty(len(codes), np.int64)
        position[self.order] = np.arange(len(codes))
        self._at = position[rows]

    @cached_property
    def ever(self) -> Ranges:
        """Ranges of all earlier transactions of the same entity."""
        return Ranges(self._starts[self._at], self._at)

    def within(self, window: timedelta) -> Ranges:
        """Ranges of the `window` before each row, without the window's far end."""
        return Ranges(self._since(window), self._at)

    def known(self, delay: timedelta, window: timedelta | None = None) -> Ranges:
        """Ranges of transactions at least `delay` old, whose labels are known: of the `window` before, or all."""
        end = np.minimum(self._since(delay), self._at)
        start = self._starts[self._at] if window is None else np.minimum(self._since(delay + window), end)
        return Ranges(start, end)

    def _since(self, age: timedelta) -> np.ndarray:
        """Start, in this order, of the transactions younger than `age`."""
        until = np.searchsorted(self._times, self._asked - age // timedelta(milliseconds=1), side="right")
        found: np.ndarray = np.searchsorted(self._keys, self._entity + until, side="right")
        return found

    def sums(self, values: np.ndarray, *ranges: Ranges) -> list[np.ndarray]:
        """The sum of `values`, which are in the history's order, over each of `ranges`."""
        before = self._before(values[self.order], "cumsum", 0)
        return [before[each.end] - before[each.start] for each in ranges]

    def largest(self, values: np.ndarray) -> np.ndarray:
        """The largest of `values` over all that came before; NaN when nothing did."""
        found: np.ndarray = self._before(values[self.order], "cummax", np.nan)[self._at]
        return found

    def latest(self, values: np.ndarray, ranges: Ranges) -> np.ndarray:
        """The last of `values` in each range; NaN when it is empty."""
        found = values[self.order][np.maximum(ranges.end - 1, 0)].astype(float)
        return np.where(ranges.count > 0, found, np.nan)

    def recent(self, values: np.ndarray, ranges: Ranges, size: int) -> np.ndarray:
        """The last `size` values in each range, newest first, as a matrix; NaN where there were fewer."""
        ordered = values[self.order].astype(float)
        places = ranges.end[:, None] - 1 - np.arange(size)
        return np.where(places >= ranges.start[:, None], ordered[np.maximum(places, 0)], np.nan)

    def _before(self, ordered: np.ndarray, running: str, empty: float) -> np.ndarray:
        """A running total of each entity, without the transaction itself."""
        totals = pd.Series(ordered).groupby(self._codes, sort=False).agg(running).to_numpy(float)
        before = np.empty(len(ordered))
        before[1:] = totals[:-1]
        before[self._starts] = empty
        return before
