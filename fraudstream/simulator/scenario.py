"""The interface between the fraud scenarios and the rest of the simulator."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fraudstream.simulator.columns import Array
from fraudstream.simulator.sessions import MAX_SESSION_MS, Sessions
from fraudstream.simulator.shop import Shop
from fraudstream.simulator.times import MINUTE_MS

#: The last purchase of an attack begins at most this long after the first.
MAX_ATTACK_MS = 45 * MINUTE_MS
#: No event of anything that starts at a time comes later than this after it.
MAX_LIFETIME_MS = MAX_ATTACK_MS + MAX_SESSION_MS


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


@dataclass(frozen=True)
class Scenario(ABC):
    """A kind of fraud: its docstring says what the fraudster does, and why it is hard to see.

    `share` is its part of all fraudulent transactions when nothing drifts, and `phase`, 0 to 1, the point of its
    drift's cycle at the epoch. A class declares `mean_size`, its purchases an attack, and `disputed_late` when only a
    chargeback, weeks later, labels it.
    """

    name: str
    share: float
    phase: float

    mean_size: ClassVar[float]
    disputed_late: ClassVar[bool] = False

    @abstractmethod
    def sizes(self, rng: np.random.Generator, attacks: int) -> Array:
        """Purchases of each attack, at least 1."""

    @abstractmethod
    def sessions(self, shop: Shop, rng: np.random.Generator, attacks: Attacks) -> Sessions:
        """One session a purchase, in the order of the attacks."""
