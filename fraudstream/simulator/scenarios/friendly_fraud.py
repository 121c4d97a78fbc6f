"""Friendly fraud: a customer buys, receives, and disputes the charge weeks later.

There is no attacker: account, device, card, address and pace are the customer's own. A little more often than others
they buy dear things that are easily sold on. Nothing in the purchase tells it from an honest one; what can help, weeks
later, is that some customers do it again. It is the part of fraud that a model at checkout hardly finds, and the label
that comes latest: a chargeback, after about five times the usual delay.
"""

from typing import ClassVar

import numpy as np

from fraudstream.simulator.attackers import override, prepare_attackers
from fraudstream.simulator.columns import Array
from fraudstream.simulator.legitimate import chance
from fraudstream.simulator.scenario import Attacks, Scenario
from fraudstream.simulator.sessions import Sessions
from fraudstream.simulator.shop import Shop

_REPEATERS = 0.01  # of the customers, who make _REPEATED_SHARE of these purchases
_REPEATED_SHARE = 0.4


class FriendlyFraud(Scenario):
    """One purchase, somewhat dearer than the customer's others."""

    mean_size: ClassVar[float] = 1.0
    disputed_late: ClassVar[bool] = True

    def sizes(self, rng: np.random.Generator, attacks: int) -> Array:
        """Always 1."""
        return np.ones(attacks, dtype=np.int64)

    def sessions(self, shop: Shop, rng: np.random.Generator, attacks: Attacks) -> Sessions:
        """The customer's own way of shopping."""
        rows = len(attacks)
        hour = int(attacks.start[0]) if rows else 0
        customer = shop.draw_visitors(hour, rows, rng)
        repeaters = max(1, int(_REPEATERS * len(shop.customers)))
        customer = np.where(chance(rng, _REPEATED_SHARE, rows), rng.integers(0, repeaters, rows), customer)
        attackers = prepare_attackers(shop, rng, attacks, np.zeros(rows), customer)
        sessions = attackers.sessions
        dearer = attackers.careless(rng, 0.5)
        attackers.want_resold(rng, dearer & chance(rng, 0.5, rows))
        override(sessions.price_level, dearer, sessions.price_level + rng.uniform(0.1, 0.3, rows))
        return sessions
