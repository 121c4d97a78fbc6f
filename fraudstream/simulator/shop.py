"""The shop: everything about it that doesn't change while it is open."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fraudstream.simulator.catalogue import Catalogue, build_catalogue
from fraudstream.simulator.columns import Array
from fraudstream.simulator.customers import Customers, build_customers
from fraudstream.simulator.geography import Geography, load_geography
from fraudstream.simulator.visitors import Visitors, build_visitors

_DORMANT_SHARE = 0.25


@dataclass(frozen=True)
class Shop:
    """Customers, catalogue and geography of one seed."""

    seed: int
    geography: Geography
    catalogue: Catalogue
    customers: Customers
    visitors: Visitors

    def draw_visitors(self, start_ms: int, count: int, rng: np.random.Generator) -> Array:
        """Draws `count` customers who visit in the hour of `start_ms`, by activity and local hour."""
        return self.visitors.draw(start_ms, rng.random((2, count)))

    @cached_property
    def dormant(self) -> Array:
        """Customers (indices) whose accounts are hardly used."""
        least_active = np.argsort(self.customers.activity, kind="stable")
        return least_active[: max(1, int(_DORMANT_SHARE * len(least_active)))]

    def compatriots(self, customer: Array, uniform: Array) -> Array:
        """For each of `customer`, someone of the same country, by `uniform` numbers in [0, 1)."""
        order, sorted_country = self._by_country
        country = self.customers.country[customer]
        first = np.searchsorted(sorted_country, country, side="left")
        last = np.searchsorted(sorted_country, country, side="right")
        chosen: Array = order[first + np.floor(uniform * (last - first)).astype(np.int64)]
        return chosen

    @cached_property
    def _by_country(self) -> tuple[Array, Array]:
        order = np.argsort(self.customers.country, kind="stable")
        return order, self.customers.country[order]


def build_shop(seed: int, customers: int, products: int) -> Shop:
    """Builds the shop of `seed`: the same arguments always give the same shop."""
    geography = load_geography()
    people = build_customers(customers, seed, geography)
    return Shop(seed, geography, build_catalogue(products, seed), people, build_visitors(people))
