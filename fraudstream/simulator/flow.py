"""The live shop as an endless flow of events at an exact rate.

The generator makes sessions as they come: by chance, more or fewer a second. The flow takes its events in order, in blocks
of as many, and stretches each block's time to the length that the rate demands. So the rate holds from the first second,
no event overtakes another, and pace and dwell are those of the generator within a few percent.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from fraudstream.simulator.columns import Array
from fraudstream.simulator.generator import WINDOW_SHOPPERS, Cell, Rows, generate, in_order
from fraudstream.simulator.labels import Labels, label
from fraudstream.simulator.scenarios import SCENARIOS
from fraudstream.simulator.sessions import MAX_SESSION_MS, BrowseEvents, Transactions
from fraudstream.simulator.shop import Shop

#: Browse events and transactions for each transaction, about; the stretching makes up for the difference.
_EVENTS_PER_PURCHASE = 13.0
_BLOCK_SECONDS = 2.0
_BLOCK_EVENTS = (50, 5_000)
#: Sessions that began before the start are in progress at it; at high rates not all of that time is made up.
_MAX_WARMUP_EVENTS = 1_000_000


@dataclass(frozen=True)
class FlowOptions:
    """`rate` counts browse events and transactions, per second; times are in ms."""

    rate: float
    fraud_rate: float
    start_ms: int
    label_delay_ms: float


@dataclass(frozen=True)
class Block:
    """As many events as the flow's block size, from `start_ms` to `end_ms`."""

    start_ms: float
    end_ms: float
    events: BrowseEvents
    transactions: Transactions
    labels: Labels


class Flow:
    """Blocks of events, one after another. Same shop and options: same blocks."""

    def __init__(self, shop: Shop, options: FlowOptions) -> None:
        self._shop = shop
        self._options = options
        self._block_events = int(np.clip(options.rate * _BLOCK_SECONDS, *_BLOCK_EVENTS))
        self._cells = self._generated_cells()
        self._rng = np.random.default_rng([shop.seed, 6, options.start_ms])
        self._clock_ms = float(options.start_ms)
        self._position_ms = float(options.start_ms)
        self._frontier_ms = options.start_ms
        self._pending: tuple[BrowseEvents, Transactions] | None = None

    def warm_up(self) -> None:
        """Makes the sessions that are in progress at the start; the longest single piece of work (about a second)."""
        self._pending = self._grow()

    def next_block(self, not_before_ms: float = 0.0) -> Block:
        """The next events. The block starts where the last one ended, or at `not_before_ms` when that is later."""
        start_ms = max(self._clock_ms, not_before_ms)
        end_ms = start_ms + 1000 * self._block_events / self._options.rate
        events, transactions = self._take(start_ms, end_ms)
        self._clock_ms = end_ms
        return Block(
            start_ms, end_ms, events, transactions, label(self._rng, transactions, self._options.label_delay_ms)
        )

    def _take(self, start_ms: float, end_ms: float) -> tuple[BrowseEvents, Transactions]:
        while True:
            events, transactions = self._pending or self._grow()
            times = np.sort(np.concatenate([events.time, transactions.time]))
            if np.searchsorted(times, self._frontier_ms) > self._block_events:
                break
            self._pending = self._grow()
        # The boundary lies just before the first event of the next block.
        until = float(times[self._block_events])
        stretch = (end_ms - start_ms) / max(until - self._position_ms, 1.0)
        taken, left = [], []
        for rows in (events, transactions):
            now = np.arange(len(rows)) < np.searchsorted(rows.time, until)
            moved = start_ms + (rows.time[now] - self._position_ms) * stretch
            taken.append(replace(rows.take(now), time=moved.astype(np.int64)))
            left.append(rows.take(~now))
        self._position_ms = until
        self._pending = (left[0], left[1])
        return taken[0], taken[1]

    def _grow(self) -> tuple[BrowseEvents, Transactions]:
        """The pending events with those of one more cell."""
        cell = next(self._cells)
        events, transactions = (_since(rows, self._options.start_ms) for rows in generate(self._shop, cell))
        self._frontier_ms = cell.start_ms + cell.length_ms
        if self._pending is None:
            return events, transactions
        return (
            in_order(BrowseEvents.concat([self._pending[0], events])),
            in_order(Transactions.concat([self._pending[1], transactions])),
        )

    def _generated_cells(self) -> Iterator[Cell]:
        options = self._options
        rng = np.random.default_rng([self._shop.seed, 7, options.start_ms])
        warmup_ms = int(min(MAX_SESSION_MS, 1000 * _MAX_WARMUP_EVENTS / options.rate))
        yield self._cell(rng, 0, options.start_ms - warmup_ms, warmup_ms)
        length_ms = max(1, int(1000 * self._block_events / options.rate))
        number, start_ms = 1, options.start_ms
        while True:
            yield self._cell(rng, number, start_ms, length_ms)
            number, start_ms = number + 1, start_ms + length_ms

    def _cell(self, rng: Generator, number: int, start_ms: int, length_ms: int) -> Cell:
        options = self._options
        expected = options.rate * length_ms / 1000 / _EVENTS_PER_PURCHASE
        purchases = int(rng.poisson(expected * (1 - options.fraud_rate)))
        attacks = tuple(
            scenario.sizes(rng, int(rng.poisson(expected * options.fraud_rate * scenario.share / scenario.mean_size)))
            for scenario in SCENARIOS
        )
        return Cell(number, start_ms, length_ms, purchases, int(rng.poisson(purchases * WINDOW_SHOPPERS)), attacks)


def _since(rows: Rows, start_ms: int) -> Rows:
    keep: Array = rows.time >= start_ms
    return rows.take(keep)
