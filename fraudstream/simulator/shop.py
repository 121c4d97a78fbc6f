"""The shop: everything about it that doesn't change while it is open."""

from dataclasses import dataclass

import numpy as np

from fraudstream.simulator.catalogue import Catalogue, build_catalogue
from fraudstream.simulator.columns import Array
from fraudstream.simulator.customers import Customers, build_customers
from fraudstream.simulator.geography import Geography, load_geography

HOUR_MS = 3_600_000
CURRENCY = "EUR"


@dataclass(frozen=True)
class Shop:
    """Customers, catalogue and geography of one seed."""

    seed: int
    geography: Geography
    catalogue: Catalogue
    customers: Customers

    def visitors(self, start_ms: int, count: int, rng: np.random.Generator) -> Array:
        """Draws `count` customers who visit in the hour of `start_ms`, by activity and local hour."""
        cumulative = np.cumsum(self.customers.activity * self.attendance(start_ms))
        drawn = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
        return np.minimum(drawn, len(cumulative) - 1)

    def attendance(self, start_ms: int) -> Array:
        """Each customer's inclination to shop at this hour of the week, mean about 1."""
        hours = start_ms // HOUR_MS + self.customers.utc_offset
        distance = (hours % 24 + 0.5 - self.customers.peak_hour + 12) % 24 - 12
        daily = 0.12 + 2.6 * np.exp(-0.5 * (distance / 3.2) ** 2)
        weekday = (hours // 24 + 3) % 7  # the epoch was a Thursday
        return daily * np.where(weekday >= 5, self.customers.weekend, 1.0)


def build_shop(seed: int, customers: int, products: int) -> Shop:
    """Builds the shop of `seed`: the same arguments always give the same shop."""
    geography = load_geography()
    return Shop(seed, geography, build_catalogue(products, seed), build_customers(customers, seed, geography))
