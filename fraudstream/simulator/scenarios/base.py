"""What a fraud scenario is."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from fraudstream.simulator.catalogue import category_numbers
from fraudstream.simulator.columns import Array
from fraudstream.simulator.sessions import MAX_SESSION_MS, Sessions
from fraudstream.simulator.shop import Shop

#: The last purchase of an attack begins at most this long after the first.
MAX_ATTACK_MS = 45 * 60_000
#: No event of anything that starts at a time comes later than this after it.
MAX_LIFETIME_MS = MAX_ATTACK_MS + MAX_SESSION_MS

#: Categories whose goods are easily sold on.
RESOLD = category_numbers("Smartphones", "Laptops", "Audio", "Cameras", "Watches", "Jewellery")


@dataclass(frozen=True)
class Attacks:
    """Attacks of one scenario: when each starts (ms), its purchases, and the scenario's code in the columns.

    `difficulty` is the attackers' mean stealth: 0 (each trait shows) to 1 (only what the fraud itself needs does).
    """

    start: Array
    size: Array
    code: int
    difficulty: float

    def __len__(self) -> int:
        return len(self.start)


class Scenario(Protocol):
    """A kind of fraud: its docstring says what the fraudster does, and why it is hard to see.

    `share` is its part of all fraudulent transactions when nothing drifts; `mean_size` its purchases an attack;
    `disputed_late` whether only a chargeback, weeks later, labels it.
    """

    name: ClassVar[str]
    share: ClassVar[float]
    mean_size: ClassVar[float]
    disputed_late: ClassVar[bool] = False

    def sizes(self, rng: np.random.Generator, attacks: int) -> Array:
        """Purchases of each attack, at least 1."""
        ...

    def sessions(self, shop: Shop, rng: np.random.Generator, attacks: Attacks) -> Sessions:
        """One session a purchase, in the order of the attacks."""
        ...
