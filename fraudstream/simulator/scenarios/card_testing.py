"""Card testing: a thief tries stolen cards with many small purchases in a short time."""

from typing import ClassVar

import numpy as np

from fraudstream.simulator.catalogue import CATEGORIES
from fraudstream.simulator.columns import Array
from fraudstream.simulator.legitimate import chance, fresh_identity
from fraudstream.simulator.scenarios.base import Attacks, override, prepare_raid
from fraudstream.simulator.sessions import CARD, Sessions
from fraudstream.simulator.shop import Shop

_CHEAP = np.array([number for number, category in enumerate(CATEGORIES) if category.price < 30])


class CardTesting:
    """4 to 18 purchases on one account, 20 s to 3 min apart, of cheap things, mostly each with another card."""

    name: ClassVar[str] = "card_testing"
    share: ClassVar[float] = 0.3
    mean_size: ClassVar[float] = 9.0

    def sizes(self, rng: np.random.Generator, attacks: int) -> Array:
        """4 to 18, mean about 9."""
        return np.minimum(3 + rng.geometric(1 / 6.4, attacks), 18)

    def sessions(self, shop: Shop, rng: np.random.Generator, attacks: Attacks) -> Sessions:
        """Short visits straight to something cheap."""
        rows = int(attacks.size.sum())
        raid = prepare_raid(shop, rng, attacks, 20 + rng.exponential(60, rows))
        sessions = raid.sessions
        everyone = np.ones(rows, dtype=bool)
        override(sessions.device, raid.careless(rng, 0.65), raid.device)
        override(sessions.ip_country, raid.careless(rng, 0.4), raid.country)
        override(sessions.payment, chance(rng, 0.9, rows), np.int8(CARD))
        override(sessions.card, chance(rng, 0.72, rows), fresh_identity(rng, rows))
        override(sessions.category, everyone, rng.choice(_CHEAP, rows).astype(np.int16))
        override(sessions.price_level, everyone, rng.uniform(0.0, 0.45, rows))
        override(sessions.steps, everyone, rng.integers(1, 4, rows))
        override(sessions.pace, everyone, rng.lognormal(np.log(3.5), 0.4, len(attacks))[raid.attack])
        override(sessions.promo, chance(rng, 0.7, rows), np.int8(-1))
        override(sessions.express, everyone, False)
        sessions.bulk[:] = 0.02
        return sessions
