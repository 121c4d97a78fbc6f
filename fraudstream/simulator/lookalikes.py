"""Honest habits that resemble fraud, put over plain sessions: flash sales, presents, and a second thought.

- Flash sale: for an hour now and then, one category is reduced. Many people come from the newsletter, straight to it,
  fast, and buy with a code: direct checkouts, promotions, a hurried pace, several units.
- Presents: a dearer thing than usual, shipped to a friend, often express; now and then to several friends in a row.
- A second thought: something was forgotten, and the customer buys again within minutes.

Travellers, replaced phones and cards, one-time card numbers, cleared cookies and VPNs are in `legitimate`; families,
who share a device, a card and an address, in `customers`.
"""

from dataclasses import dataclass

import numpy as np

from fraudstream.simulator.catalogue import CATEGORIES, category_numbers
from fraudstream.simulator.columns import Array, stable_hash, stable_uniform
from fraudstream.simulator.legitimate import chance, friend_of
from fraudstream.simulator.sessions import PROMO_CODES, TRAFFIC_SOURCES, Sessions
from fraudstream.simulator.shop import Shop
from fraudstream.simulator.times import HOUR_MS, MINUTE_MS

#: Shares of the shoppers during a flash sale who came for it, and of purchases that follow another one of the same
#: customer within minutes.
FLASH_SALE_SHOPPERS = 0.45
SECOND_THOUGHTS = 0.03

_SECOND_THOUGHT_MEAN_MS = 7 * MINUTE_MS
_SECOND_THOUGHT_MAX_MS = 40 * MINUTE_MS
_PRESENTS_IN_A_ROW = 0.35  # of the second thoughts
_GIVEN = category_numbers("Audio", "Watches", "Jewellery", "Books", "Beauty", "Kids", "Gaming", "Kitchen")
_EMAIL, _SEASON = TRAFFIC_SOURCES.index("email"), PROMO_CODES.index("SEASON15")
_SALE, _SALE_CATEGORY, _SALE_LEVEL = 41, 42, 43  # purposes of the stable hashes


@dataclass(frozen=True)
class Season:
    """The shares of hours with a flash sale, and of purchases that are presents: more of both before holidays."""

    sale_hours: float = 0.05
    presents: float = 0.02


def add_second_thoughts(rng: np.random.Generator, customer: Array, start: Array, purchases: int) -> Array:
    """Lets some of the first `purchases` rows be by the customer of another, soon after it; changes them in place.

    Returns those rows.
    """
    again = np.flatnonzero(rng.random(purchases) < SECOND_THOUGHTS)
    first = np.setdiff1d(np.arange(purchases), again, assume_unique=True)
    if not len(first):
        return again[:0]
    earlier = rng.choice(first, len(again))
    delay = np.minimum(MINUTE_MS + rng.exponential(_SECOND_THOUGHT_MEAN_MS, len(again)), _SECOND_THOUGHT_MAX_MS)
    customer[again] = customer[earlier]
    start[again] = start[earlier] + delay.astype(np.int64)
    return again


def add_lookalikes(shop: Shop, rng: np.random.Generator, sessions: Sessions, again: Array, season: Season) -> None:
    """Puts presents and flash sales over honest `sessions`, in place; `again` are the second thoughts."""
    _give_presents(shop, rng, sessions, again, season.presents)
    _hold_flash_sales(shop, rng, sessions, season.sale_hours)


def _give_presents(shop: Shop, rng: np.random.Generator, sessions: Sessions, again: Array, share: float) -> None:
    given = chance(rng, share, len(sessions))
    given[again] |= chance(rng, _PRESENTS_IN_A_ROW, len(again))
    row = np.flatnonzero(given & sessions.buys)
    friend = friend_of(shop, sessions.customer[row], rng.integers(0, 8, len(row)))
    people = shop.customers
    sessions.city[row] = people.city[friend]
    sessions.latitude[row], sessions.longitude[row] = people.latitude[friend], people.longitude[friend]
    sessions.category[row] = rng.choice(_GIVEN, len(row))
    sessions.price_level[row] += rng.uniform(0.1, 0.35, len(row))
    sessions.express[row] |= chance(rng, 0.4, len(row))


def _hold_flash_sales(shop: Shop, rng: np.random.Generator, sessions: Sessions, share: float) -> None:
    hour = sessions.start // HOUR_MS
    row = np.flatnonzero(
        (stable_uniform(_SALE, shop.seed, hour) < share) & chance(rng, FLASH_SALE_SHOPPERS, len(sessions))
    )
    rows, hour = len(row), hour[row]
    sessions.source[row] = np.where(chance(rng, 0.7, rows), _EMAIL, sessions.source[row])
    category = stable_hash(_SALE_CATEGORY, shop.seed, hour) % np.uint64(len(CATEGORIES))
    sessions.category[row] = category.astype(np.int16)
    sessions.price_level[row] = 0.3 + 0.5 * stable_uniform(_SALE_LEVEL, shop.seed, hour)
    sessions.price_spread[row] = 0.04
    sessions.steps[row] = rng.integers(1, 4, rows)
    sessions.pace[row] *= 0.4
    sessions.bulk[row] = 0.2
    sessions.promo[row] = np.where(chance(rng, 0.5, rows), _SEASON, sessions.promo[row])
