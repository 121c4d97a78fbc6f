"""Compromised device: malware buys through a customer's own device, card and address on the net, for some days.

Device, card and country are all known, so that nothing new shows; the same device goes on with honest purchases in
between. What tells is who is at the keys: the pace is even and quick, there is no browsing, the price is above the
customer's habit, mostly the goods go elsewhere, and the purchases follow one another. The device's own past, once the
first of them are known as fraud, tells most.
"""

from typing import ClassVar

import numpy as np

from fraudstream.simulator.attackers import override, prepare_attackers
from fraudstream.simulator.columns import Array, counts_to_groups, stable_hash
from fraudstream.simulator.legitimate import chance, own_device
from fraudstream.simulator.scenario import Attacks, Scenario
from fraudstream.simulator.sessions import Sessions
from fraudstream.simulator.shop import Shop
from fraudstream.simulator.times import DAY_MS

_INFECTED = 60  # customers at a time
_PERIOD_MS = 12 * DAY_MS
_PURPOSE = 31  # of the stable hash


class CompromisedDevice(Scenario):
    """1 to 4 purchases on the customer's own device, 1 to 4 min apart, by a customer who is hit again within days."""

    mean_size: ClassVar[float] = 2.1

    def sizes(self, rng: np.random.Generator, attacks: int) -> Array:
        """1 to 4, mean about 2.1."""
        return np.minimum(rng.geometric(0.42, attacks), 4)

    def sessions(self, shop: Shop, rng: np.random.Generator, attacks: Attacks) -> Sessions:
        """The customer's own device and card, at a script's pace."""
        rows = int(attacks.size.sum())
        attack, _ = counts_to_groups(attacks.size)
        infected = stable_hash(_PURPOSE, attacks.start // _PERIOD_MS, rng.integers(0, _INFECTED, len(attacks)))
        customer = (infected % np.uint64(len(shop.customers))).astype(np.int64)[attack]
        attackers = prepare_attackers(shop, rng, attacks, 60 + rng.exponential(60, rows), customer)
        sessions = attackers.sessions
        everyone = np.ones(rows, dtype=bool)
        override(sessions.device, everyone, own_device(customer, np.zeros(rows, np.int64), sessions.start))
        attackers.ship_to(attackers.drop, attackers.careless(rng, 0.8))
        dearer = attackers.careless(rng, 0.9)
        attackers.want_resold(rng, dearer & chance(rng, 0.6, rows))
        override(sessions.price_level, dearer, sessions.price_level + rng.uniform(0.2, 0.5, rows))
        scripted = attackers.careless(rng, 0.95)
        override(sessions.steps, scripted, rng.integers(1, 4, rows))
        override(sessions.pace, scripted, rng.uniform(1.0, 3.0, len(attacks))[attackers.attack])
        override(sessions.pace_spread, scripted, 0.2)
        override(sessions.dwell, scripted, 0.2)
        override(sessions.express, chance(rng, 0.4, rows), True)
        return sessions
