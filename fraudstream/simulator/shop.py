"""The shop: everything about it that doesn't change while it is open."""

from dataclasses import dataclass

import numpy as np

from fraudstream.simulator.catalogue import Catalogue, build_catalogue
from fraudstream.simulator.columns import Array
from fraudstream.simulator.crowd import Crowd, build_crowd
from fraudstream.simulator.customers import Customers, build_customers
from fraudstream.simulator.geography import Geography, load_geography

CURRENCY = "EUR"


@dataclass(frozen=True)
class Shop:
    """Customers, catalogue and geography of one seed."""

    seed: int
    geography: Geography
    catalogue: Catalogue
    customers: Customers
    crowd: Crowd

    def visitors(self, start_ms: int, count: int, rng: np.random.Generator) -> Array:
        """Draws `count` customers who visit in the hour of `start_ms`, by activity and local hour."""
        return self.crowd.draw(start_ms, rng.random((2, count)))


def build_shop(seed: int, customers: int, products: int) -> Shop:
    """Builds the shop of `seed`: the same arguments always give the same shop."""
    geography = load_geography()
    people = build_customers(customers, seed, geography)
    return Shop(seed, geography, build_catalogue(products, seed), people, build_crowd(people))
