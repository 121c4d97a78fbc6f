"""Bot checkout: a script buys the same sought-after thing several times, at an even pace.

Honest shoppers rush, too, in a flash sale, and assistive tools and deep links click evenly. What tells is the pace and
its regularity, together with the repetition.
"""

from typing import ClassVar

import numpy as np

from fraudstream.simulator.attackers import override, prepare_attackers
from fraudstream.simulator.catalogue import category_numbers
from fraudstream.simulator.columns import Array
from fraudstream.simulator.legitimate import chance, fresh_identity
from fraudstream.simulator.scenario import Attacks, Scenario
from fraudstream.simulator.sessions import DIRECT, Sessions
from fraudstream.simulator.shop import Shop

_SOUGHT = category_numbers("Smartphones", "Audio", "Gaming", "Watches", "Shoes")


class BotCheckout(Scenario):
    """2 to 9 purchases, 15 to 60 s apart, without dwelling anywhere, on stolen cards or the account's own."""

    mean_size: ClassVar[float] = 4.3

    def sizes(self, rng: np.random.Generator, attacks: int) -> Array:
        """2 to 9, mean about 4.3."""
        return np.minimum(1 + rng.geometric(0.3, attacks), 9)

    def sessions(self, shop: Shop, rng: np.random.Generator, attacks: Attacks) -> Sessions:
        """Straight from the product to the checkout, each step as long as the last."""
        rows = int(attacks.size.sum())
        every = rng.uniform(15, 60, len(attacks))
        attackers = prepare_attackers(shop, rng, attacks, np.repeat(every, attacks.size))
        sessions = attackers.sessions
        everyone = np.ones(rows, dtype=bool)
        attackers.use_device(attackers.careless(rng, 0.65))
        attackers.come_from(attackers.careless(rng, 0.35))
        attackers.ship_to(attackers.drop, attackers.careless(rng, 0.6))
        attackers.pay_with(fresh_identity(rng, len(attacks))[attackers.attack], chance(rng, 0.45, rows))
        override(sessions.source, chance(rng, 0.6, rows), np.int8(DIRECT))
        override(sessions.steps, everyone, rng.integers(1, 4, len(attacks))[attackers.attack])
        override(sessions.pace, everyone, (0.7 + rng.gamma(2.0, 0.7, len(attacks)))[attackers.attack])
        override(sessions.pace_spread, everyone, (0.05 + 0.5 * attackers.stealth)[attackers.attack])
        override(sessions.dwell, everyone, 0.0)
        override(sessions.begins_checkout, everyone, True)
        override(sessions.category, everyone, rng.choice(_SOUGHT, len(attacks)).astype(np.int16)[attackers.attack])
        override(sessions.price_level, everyone, rng.uniform(0.25, 0.9, len(attacks))[attackers.attack])
        sessions.price_spread[:] = 0.02
        sessions.bulk[:] = 0.25
        return sessions
