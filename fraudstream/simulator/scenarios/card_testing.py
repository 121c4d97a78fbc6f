"""Card testing: a thief tries stolen cards with many small purchases in a short time.

Each purchase by itself is a cheap one, as most are; some come from the account's own device. What tells is how many
there are, how fast, and that nearly each has another card. The first of an attack can hardly be told from a customer's
own.
"""

from typing import ClassVar

import numpy as np

from fraudstream.simulator.attackers import override, prepare_attackers
from fraudstream.simulator.catalogue import CATEGORIES
from fraudstream.simulator.columns import Array
from fraudstream.simulator.legitimate import chance, fresh_identity
from fraudstream.simulator.scenario import Attacks, Scenario
from fraudstream.simulator.sessions import Sessions
from fraudstream.simulator.shop import Shop

_CHEAP = np.array([number for number, category in enumerate(CATEGORIES) if category.price < 30])


class CardTesting(Scenario):
    """4 to 18 purchases on one account, 20 s to 3 min apart, of cheap things, mostly each with another card."""

    mean_size: ClassVar[float] = 9.0

    def sizes(self, rng: np.random.Generator, attacks: int) -> Array:
        """4 to 18, mean about 9."""
        return np.minimum(3 + rng.geometric(1 / 6.4, attacks), 18)

    def sessions(self, shop: Shop, rng: np.random.Generator, attacks: Attacks) -> Sessions:
        """Short visits straight to something cheap."""
        rows = int(attacks.size.sum())
        attackers = prepare_attackers(shop, rng, attacks, 20 + rng.exponential(60, rows))
        sessions = attackers.sessions
        everyone = np.ones(rows, dtype=bool)
        attackers.use_device(attackers.careless(rng, 0.6))
        attackers.come_from(attackers.careless(rng, 0.4))
        attackers.pay_with(fresh_identity(rng, rows), chance(rng, 0.62, rows))
        override(sessions.category, chance(rng, 0.85, rows), rng.choice(_CHEAP, rows).astype(np.int16))
        override(sessions.price_level, everyone, rng.uniform(0.0, 0.55, rows))
        override(sessions.steps, attackers.careless(rng, 0.9), rng.integers(1, 4, rows))
        override(sessions.pace, everyone, rng.lognormal(np.log(3.5), 0.4, len(attacks))[attackers.attack])
        override(sessions.promo, chance(rng, 0.5, rows), np.int8(-1))
        override(sessions.express, chance(rng, 0.8, rows), False)
        sessions.bulk[:] = 0.02
        return sessions
