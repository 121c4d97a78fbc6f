"""The events that begin in one cell of time: the unit that the live producer and the history writer share."""

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from fraudstream.simulator.columns import Array
from fraudstream.simulator.journeys import journeys
from fraudstream.simulator.legitimate import legitimate_sessions
from fraudstream.simulator.lookalikes import Season, add_lookalikes, add_second_thoughts
from fraudstream.simulator.mix import SCENARIOS
from fraudstream.simulator.scenario import MAX_LIFETIME_MS, Attacks
from fraudstream.simulator.sessions import BrowseEvents, Sessions, Transactions
from fraudstream.simulator.shop import Shop

#: Visits without a purchase for each visit with one: gives about 12 browse events a transaction.
WINDOW_SHOPPERS = 0.55

_SESSION_BITS = 20

Rows = TypeVar("Rows", BrowseEvents, Transactions)


@dataclass(frozen=True)
class Cell:
    """A span of time and what begins in it. `attacks[i]` are the sizes of scenario i's attacks."""

    number: int
    start_ms: int
    length_ms: int
    purchases: int
    visits: int
    attacks: tuple[Array, ...]
    difficulties: tuple[float, ...]
    season: Season = field(default_factory=Season)

    def reaches(self, start_ms: int, end_ms: int) -> bool:
        """True when an event of a session that begins here may happen between `start_ms` and `end_ms`."""
        return self.start_ms < end_ms and self.start_ms + self.length_ms + MAX_LIFETIME_MS > start_ms


def generate(shop: Shop, cell: Cell) -> tuple[BrowseEvents, Transactions]:
    """All events of the sessions and attacks that begin in `cell`, sorted by time; some come after its end.

    The same arguments give the same events. No event comes more than `MAX_LIFETIME_MS` after the cell's end.
    """
    rng = np.random.default_rng([shop.seed, 3, cell.number, cell.start_ms])
    rows = cell.purchases + cell.visits
    if rows >> _SESSION_BITS:
        raise ValueError(f"cell {cell.number} has {rows} sessions; at most {1 << _SESSION_BITS} fit: shorten the cells")
    buys = np.arange(rows) < cell.purchases
    start = cell.start_ms + np.floor(rng.random(rows) * cell.length_ms).astype(np.int64)
    customer = shop.draw_visitors(cell.start_ms, rows, rng)
    again = add_second_thoughts(rng, customer, start, cell.purchases)
    honest = legitimate_sessions(shop, rng, customer, start, buys)
    add_lookalikes(shop, rng, honest, again, cell.season)
    sessions = Sessions.concat([honest, *_attack_sessions(shop, rng, cell)])
    sessions = sessions.take(np.argsort(sessions.start, kind="stable"))
    session_ids = (np.uint64(cell.number) << np.uint64(_SESSION_BITS)) + np.arange(len(sessions), dtype=np.uint64)
    events, transactions = journeys(shop, rng, sessions, session_ids)
    return in_order(events), in_order(transactions)


def in_order(rows: Rows) -> Rows:
    """`rows` sorted by time."""
    return rows.take(np.argsort(rows.time, kind="stable"))


def _attack_sessions(shop: Shop, rng: np.random.Generator, cell: Cell) -> list[Sessions]:
    raids = []
    for number, (scenario, size) in enumerate(zip(SCENARIOS, cell.attacks, strict=True)):
        if len(size):
            start = cell.start_ms + np.floor(rng.random(len(size)) * cell.length_ms).astype(np.int64)
            attacks = Attacks(start, size, number + 1, cell.difficulties[number])
            raids.append(scenario.sessions(shop, rng, attacks))
    return raids
