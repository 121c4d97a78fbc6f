"""The visitors of each hour: customers drawn by their activity and the local time."""

from dataclasses import dataclass

import numpy as np

from fraudstream.simulator.columns import Array
from fraudstream.simulator.customers import Customers
from fraudstream.simulator.times import HOUR_MS


@dataclass(frozen=True)
class Visitors:
    """Customers in groups of the same time zone and favourite hour, so that a draw needn't weigh each of them anew.

    `weights[0]` cumulates the customers' activity, group by group; `weights[1]` the same at weekends.
    """

    customer: Array
    first: Array  # of each group, in `customer`
    last: Array
    utc_offset: Array
    peak_hour: Array
    weights: Array

    def draw(self, start_ms: int, uniform: Array) -> Array:
        """Customers who visit in the hour of `start_ms`, one for each of two columns of `uniform` numbers."""
        total, weekend = self._groups(start_ms)
        cumulative = np.cumsum(total)
        group = np.minimum(np.searchsorted(cumulative, uniform[0] * cumulative[-1], side="right"), len(total) - 1)
        drawn = np.empty(len(group), dtype=np.int64)
        for kind in (0, 1):
            rows = weekend[group] == kind
            low, high = self._edges(kind)
            aim = low[group[rows]] + uniform[1][rows] * (high - low)[group[rows]]
            found = np.searchsorted(self.weights[kind], aim, side="right")
            drawn[rows] = self.customer[np.clip(found, self.first[group[rows]], self.last[group[rows]])]
        return drawn

    def size(self, start_ms: int) -> float:
        """How busy the shop is in the hour of `start_ms`, in units of its own."""
        return float(self._groups(start_ms)[0].sum())

    def _groups(self, start_ms: int) -> tuple[Array, Array]:
        hours = start_ms // HOUR_MS + self.utc_offset
        distance = (hours % 24 + 0.5 - self.peak_hour + 12) % 24 - 12
        daily = 0.07 + 2.6 * np.exp(-0.5 * (distance / 2.9) ** 2)
        weekend = ((hours // 24 + 3) % 7 >= 5).astype(np.int64)  # the epoch was a Thursday
        low, high = self._edges(weekend)
        return daily * (high - low), weekend

    def _edges(self, kind: Array | int) -> tuple[Array, Array]:
        """Cumulative weight before and after each group, for one kind of day or one a group."""
        high = self.weights[kind, self.last]
        low = np.where(self.first > 0, self.weights[kind, self.first - 1], 0.0)
        return low, high


def build_visitors(customers: Customers) -> Visitors:
    """Groups the customers."""
    key = customers.utc_offset * 100 + customers.peak_hour
    order = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.diff(key[order], prepend=np.nan) != 0)
    last = np.append(first[1:], len(key)) - 1
    activity = customers.activity[order]
    return Visitors(
        customer=order,
        first=first,
        last=last,
        utc_offset=customers.utc_offset[order][first],
        peak_hour=customers.peak_hour[order][first],
        weights=np.stack([np.cumsum(activity), np.cumsum(activity * customers.weekend[order])]),
    )
