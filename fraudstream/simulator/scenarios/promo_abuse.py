"""Promo abuse: one person takes a promotion again and again, through linked accounts.

A ring's accounts are little used ones, opened for the purpose or bought; each buys once or twice, at a moderate price,
with a code that every fifth customer uses. No account by itself is fast or dear. What links them is a device and an
address that they share; what tells without that link is an account that has hardly bought before, goes from the
promotion straight to the checkout, from a device and to a place that it never used, and takes the best code there is.
"""

from typing import ClassVar

import numpy as np

from fraudstream.simulator.attackers import draw_rings, override, prepare_attackers, ring_accounts, ring_place
from fraudstream.simulator.columns import Array, counts_to_groups
from fraudstream.simulator.legitimate import chance
from fraudstream.simulator.scenario import Attacks, Scenario
from fraudstream.simulator.sessions import GIFT_CARD, PROMO_SHARES, Sessions
from fraudstream.simulator.shop import Shop

_ACCOUNTS = 40  # of a ring
_BEST_CODES = np.flatnonzero(np.array(PROMO_SHARES) >= 0.15).astype(np.int8)
_SAME_STREET = 0.002  # degrees: several doors, one cellar


class PromoAbuse(Scenario):
    """3 to 10 purchases by as many accounts of a ring, 1 to 6 min apart, each with one of the best promotions."""

    mean_size: ClassVar[float] = 5.0

    def sizes(self, rng: np.random.Generator, attacks: int) -> Array:
        """3 to 10, mean about 5."""
        return np.minimum(2 + rng.geometric(0.33, attacks), 10)

    def sessions(self, shop: Shop, rng: np.random.Generator, attacks: Attacks) -> Sessions:
        """From the promotion to the checkout, account after account."""
        rows = int(attacks.size.sum())
        attack, number = counts_to_groups(attacks.size)
        ring = draw_rings(rng, attacks)
        first = rng.integers(0, _ACCOUNTS, len(attacks))
        accounts = ring_accounts(shop, ring[attack], (first[attack] + number) % _ACCOUNTS)
        attackers = prepare_attackers(shop, rng, attacks, 60 + rng.exponential(120, rows), accounts)
        sessions = attackers.sessions
        attackers.use_device(attackers.careless(rng, 0.9))
        attackers.ship_to(ring_place(shop, ring), attackers.careless(rng, 0.95))
        sessions.latitude[:] = np.round(sessions.latitude + _SAME_STREET * rng.integers(-1, 2, rows), 4).clip(-90, 90)
        override(sessions.promo, chance(rng, 0.92, rows), rng.choice(_BEST_CODES, len(attacks))[attackers.attack])
        override(sessions.steps, attackers.careless(rng, 0.9), rng.integers(1, 4, rows))
        override(
            sessions.pace, attackers.careless(rng, 0.85), rng.lognormal(np.log(3), 0.3, len(attacks))[attackers.attack]
        )
        routine = attackers.careless(rng, 0.85)
        override(sessions.pace_spread, routine, 0.4)
        override(sessions.dwell, routine, 0.3)
        override(sessions.bulk, attackers.careless(rng, 0.85), 0.65)
        override(sessions.payment, chance(rng, 0.25, rows), np.int8(GIFT_CARD))
        override(sessions.price_level, attackers.careless(rng, 0.8), rng.uniform(0.4, 0.8, rows))
        override(sessions.express, chance(rng, 0.9, rows), False)
        return sessions
