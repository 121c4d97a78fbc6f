"""Account takeover: someone else signs in, changes the address and buys what can be resold.

Customers, too, buy new phones, travel, and send presents to new addresses. What tells is that several habits break at
once: device, place, distance, price and pace.
"""

from typing import ClassVar

import numpy as np

from fraudstream.simulator.attackers import override, prepare_attackers
from fraudstream.simulator.columns import Array
from fraudstream.simulator.legitimate import chance, fresh_identity
from fraudstream.simulator.scenario import Attacks, Scenario
from fraudstream.simulator.sessions import Sessions
from fraudstream.simulator.shop import Shop


class AccountTakeover(Scenario):
    """1 to 5 purchases above the customer's habit, on a new device, shipped to a new address after a short browse."""

    mean_size: ClassVar[float] = 1.9

    def sizes(self, rng: np.random.Generator, attacks: int) -> Array:
        """1 to 5, mean about 1.9."""
        return np.minimum(rng.geometric(0.5, attacks), 5)

    def sessions(self, shop: Shop, rng: np.random.Generator, attacks: Attacks) -> Sessions:
        """The victim's account, the attacker's equipment."""
        rows = int(attacks.size.sum())
        attackers = prepare_attackers(shop, rng, attacks, 120 + rng.exponential(420, rows))
        sessions = attackers.sessions
        dearer = attackers.careless(rng, 0.95)
        attackers.use_device(attackers.careless(rng, 0.97))
        attackers.come_from(attackers.careless(rng, 0.65))
        attackers.ship_to(attackers.drop, attackers.careless(rng, 0.92))
        attackers.want_resold(rng, dearer & chance(rng, 0.75, rows))
        override(sessions.price_level, dearer, sessions.price_level + rng.uniform(0.25, 0.5, rows))
        override(sessions.bulk, dearer, 0.25)
        override(sessions.card, chance(rng, 0.3, rows), fresh_identity(rng, len(attacks))[attackers.attack])
        override(sessions.steps, attackers.careless(rng, 0.9), rng.integers(1, 5, rows))
        override(sessions.pace, attackers.careless(rng, 0.85), sessions.pace * 0.5)
        override(sessions.express, chance(rng, 0.4, rows), True)
        return sessions
