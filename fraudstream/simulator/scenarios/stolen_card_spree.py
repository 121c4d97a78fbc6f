"""Stolen card spree: a stolen card is emptied in quick, dear purchases, before its owner notices.

The account may be the thief's own, with its own device and a history of honest purchases. Customers, too, pay with new
cards, buy several things within the hour, and send presents. What tells is a new card, dear things and a new address
together, one purchase after the other.
"""

from typing import ClassVar

import numpy as np

from fraudstream.simulator.attackers import override, prepare_attackers
from fraudstream.simulator.columns import Array
from fraudstream.simulator.legitimate import chance, fresh_identity
from fraudstream.simulator.scenario import Attacks, Scenario
from fraudstream.simulator.sessions import Sessions
from fraudstream.simulator.shop import Shop


class StolenCardSpree(Scenario):
    """2 to 6 dear purchases, 1 to 10 min apart, with a card new to the account, shipped to a new address."""

    mean_size: ClassVar[float] = 3.0

    def sizes(self, rng: np.random.Generator, attacks: int) -> Array:
        """2 to 6, mean about 3."""
        return np.minimum(1 + rng.geometric(0.48, attacks), 6)

    def sessions(self, shop: Shop, rng: np.random.Generator, attacks: Attacks) -> Sessions:
        """Often on the account's own device: the account may be the thief's."""
        rows = int(attacks.size.sum())
        attackers = prepare_attackers(shop, rng, attacks, 60 + rng.exponential(200, rows))
        sessions = attackers.sessions
        dearer = attackers.careless(rng, 0.97)
        attackers.use_device(attackers.careless(rng, 0.5))
        attackers.come_from(attackers.careless(rng, 0.35))
        attackers.ship_to(attackers.drop, attackers.careless(rng, 0.9))
        attackers.pay_with(fresh_identity(rng, len(attacks))[attackers.attack], chance(rng, 0.95, rows))
        attackers.want_resold(rng, dearer & chance(rng, 0.4, rows))
        override(sessions.price_level, dearer, rng.uniform(0.55, 0.95, rows))
        override(sessions.bulk, dearer, 0.2)
        override(sessions.steps, attackers.careless(rng, 0.85), rng.integers(2, 7, rows))
        override(sessions.pace, attackers.careless(rng, 0.75), sessions.pace * 0.55)
        override(sessions.express, chance(rng, 0.3, rows), True)
        return sessions
