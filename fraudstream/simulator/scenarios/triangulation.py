"""Triangulation: a fraudster sells what it doesn't have, and orders it here with stolen cards.

It takes orders elsewhere, at low prices and for real money, and fills them from this shop: each order on another
account and another stolen card, all of them to the one forwarding address from which they go on to the buyers. So each
account buys once, one ordinary thing at an ordinary price, and no velocity shows. What links the orders is the address;
what tells without it is an account to which card, device and place are new at once, and that looks at nothing but the
one product that was ordered.
"""

from typing import ClassVar

import numpy as np

from fraudstream.simulator.attackers import draw_rings, override, prepare_attackers, ring_accounts, ring_place
from fraudstream.simulator.columns import Array, counts_to_groups
from fraudstream.simulator.legitimate import chance, fresh_identity
from fraudstream.simulator.scenario import Attacks, Scenario
from fraudstream.simulator.sessions import DIRECT, Sessions
from fraudstream.simulator.shop import Shop

_ACCOUNTS = 200  # of a ring


class Triangulation(Scenario):
    """2 to 8 purchases of one thing each, by as many customers, 2 to 15 min apart, to one address."""

    mean_size: ClassVar[float] = 3.5

    def sizes(self, rng: np.random.Generator, attacks: int) -> Array:
        """2 to 8, mean about 3.5."""
        return np.minimum(1 + rng.geometric(0.4, attacks), 8)

    def sessions(self, shop: Shop, rng: np.random.Generator, attacks: Attacks) -> Sessions:
        """Straight to the product that was ordered, without a look at anything else."""
        rows = int(attacks.size.sum())
        attack, _ = counts_to_groups(attacks.size)
        ring = draw_rings(rng, attacks)
        victims = shop.draw_visitors(int(attacks.start[0]) if len(attacks) else 0, rows, rng)
        opened = ring_accounts(shop, ring[attack], rng.integers(0, _ACCOUNTS, rows))
        accounts = np.where(chance(rng, 0.5, rows), opened, victims)
        attackers = prepare_attackers(shop, rng, attacks, 120 + rng.exponential(240, rows), accounts)
        sessions = attackers.sessions
        attackers.ship_to(ring_place(shop, ring), attackers.careless(rng, 0.97))
        hidden = attackers.careless(rng, 0.9)
        attackers.use_device(hidden)
        override(sessions.device, hidden & chance(rng, 0.6, rows), fresh_identity(rng, rows))
        attackers.pay_with(fresh_identity(rng, rows), chance(rng, 0.85, rows))
        override(sessions.source, chance(rng, 0.4, rows), np.int8(DIRECT))
        override(sessions.steps, attackers.careless(rng, 0.9), 1)
        override(sessions.cart_share, np.ones(rows, dtype=bool), 0.0)
        routine = attackers.careless(rng, 0.85)
        override(sessions.pace, routine, rng.lognormal(np.log(4), 0.3, len(attacks))[attackers.attack])
        override(sessions.pace_spread, routine, 0.4)
        override(sessions.dwell, routine, 0.3)
        override(sessions.price_level, attackers.careless(rng, 0.8), rng.uniform(0.45, 0.9, rows))
        override(sessions.adds_payment, routine, True)
        sessions.bulk[:] = 0.02
        return sessions
