"""The live shop as an endless flow of events at an exact rate.

The generator makes sessions as they come: by chance, more or fewer a second. The flow takes its events in order, in
blocks of as many, and stretches each block's time to the length that the rate demands. So the rate holds from the first
second, no event overtakes another, and pace and dwell are those of the generator within a few percent.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
from numpy.random import Generator

from fraudstream.simulator.generator import WINDOW_SHOPPERS, Cell, Rows, generate, in_order
from fraudstream.simulator.labels import Labels, label
from fraudstream.simulator.mix import SCENARIOS, FraudMix
from fraudstream.simulator.sessions import MAX_SESSION_MS, BrowseEvents, Transactions
from fraudstream.simulator.shop import Shop

#: Browse events and transactions for each transaction, about; the stretching makes up for the difference.
EVENTS_PER_PURCHASE = 13.0
_BLOCK_SECONDS = 2.0
_BLOCK_EVENTS = (50, 5_000)
#: Sessions that began before the start are in progress at it; at high rates not all of that time is made up.
_MAX_WARMUP_EVENTS = 2_000_000

Pair = tuple[BrowseEvents, Transactions]


@dataclass(frozen=True)
class FlowOptions:
    """`rate` counts browse events and transactions, per second; times are in ms."""

    rate: float
    fraud_rate: float
    start_ms: int
    label_delay_ms: float
    mix: FraudMix = field(default_factory=FraudMix)


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
        self._cell_ms = max(1, int(1000 * self._block_events / options.rate))
        self._difficulties = options.mix.difficulties()
        self._cells = self._generated_cells()
        self._rng = np.random.default_rng([shop.seed, 6, options.start_ms])
        self._clock_ms = float(options.start_ms)
        self._position_ms = float(options.start_ms)
        self._later: dict[int, list[Pair]] = defaultdict(list)  # events of the cells so far, by the cell they fall into
        self._ready: Pair | None = None  # events that nothing can precede any more

    def warm_up(self) -> None:
        """Makes the sessions that are in progress at the start; the longest single piece of work (about a second)."""
        self._distribute(next(self._cells))

    def next_block(self, not_before_ms: float = 0.0) -> Block:
        """The next events. The block starts where the last one ended, or at `not_before_ms` when that is later."""
        start_ms = max(self._clock_ms, not_before_ms)
        events, transactions = self._take(start_ms)
        labels = label(self._rng, transactions, self._options.label_delay_ms)
        return Block(start_ms, self._clock_ms, events, transactions, labels)

    def _take(self, start_ms: float) -> Pair:
        """The events of the block that starts at `start_ms`; moves the clock to its end."""
        while self._ready is None or len(self._ready[0]) + len(self._ready[1]) <= self._block_events:
            self._complete_cell()
        events, transactions = self._ready
        # The boundary is the first event of the next block.
        times = np.sort(np.concatenate([events.time, transactions.time]))
        until = float(times[self._block_events])
        self._clock_ms = start_ms + 1000 * float(np.searchsorted(times, until)) / self._options.rate
        stretch = (self._clock_ms - start_ms) / max(until - self._position_ms, 1.0)

        def moved(rows: Rows) -> Rows:
            past = rows.take(rows.time < until)
            return replace(past, time=(start_ms + (past.time - self._position_ms) * stretch).astype(np.int64))

        block = moved(events), moved(transactions)
        self._ready = events.take(events.time >= until), transactions.take(transactions.time >= until)
        self._position_ms = until
        return block

    def _complete_cell(self) -> None:
        """Generates one more cell. Later cells can't reach back into it, so that its events are ready."""
        cell = next(self._cells)
        self._distribute(cell)
        parts = self._later.pop(cell.number, [])
        if self._ready is not None:
            parts = [self._ready, *parts]
        if parts:
            events, transactions = zip(*parts, strict=True)
            self._ready = in_order(BrowseEvents.concat(events)), in_order(Transactions.concat(transactions))

    def _distribute(self, cell: Cell) -> None:
        events, transactions = generate(self._shop, cell)
        if cell.number == 0:
            events, transactions = _in_progress(events, transactions, self._options.start_ms)
        numbers = [1 + (rows.time - self._options.start_ms) // self._cell_ms for rows in (events, transactions)]
        for number in np.unique(np.concatenate(numbers)).tolist():
            spans = [slice(*np.searchsorted(of, [number, number + 1])) for of in numbers]
            self._later[number].append((events.take(spans[0]), transactions.take(spans[1])))

    def _generated_cells(self) -> Iterator[Cell]:
        options = self._options
        rng = np.random.default_rng([self._shop.seed, 7, options.start_ms])
        warmup_ms = int(min(MAX_SESSION_MS, 1000 * _MAX_WARMUP_EVENTS / options.rate))
        yield self._cell(rng, 0, options.start_ms - warmup_ms, warmup_ms)
        for number in count(1):
            yield self._cell(rng, number, options.start_ms + (number - 1) * self._cell_ms, self._cell_ms)

    def _cell(self, rng: Generator, number: int, start_ms: int, length_ms: int) -> Cell:
        options = self._options
        expected = options.rate * length_ms / 1000 / EVENTS_PER_PURCHASE
        purchases = int(rng.poisson(expected * (1 - options.fraud_rate)))
        shares = options.mix.shares(np.array([start_ms]))[:, 0]
        attacks = tuple(
            scenario.sizes(rng, int(rng.poisson(expected * options.fraud_rate * share / scenario.mean_size)))
            for scenario, share in zip(SCENARIOS, shares, strict=True)
        )
        visits = int(rng.poisson(purchases * WINDOW_SHOPPERS))
        return Cell(number, start_ms, length_ms, purchases, visits, attacks, self._difficulties)


def _in_progress(events: BrowseEvents, transactions: Transactions, start_ms: int) -> Pair:
    """The events that are still to come at `start_ms`, without purchases whose browsing is over already."""
    events = events.take(events.time >= start_ms)
    seen = np.isin(transactions.session, events.session)
    return events, transactions.take((transactions.time >= start_ms) & seen)
