"""The customers and their habits."""

from dataclasses import dataclass

import numpy as np

from fraudstream.simulator.catalogue import CATEGORIES
from fraudstream.simulator.columns import Array, Columns
from fraudstream.simulator.geography import Geography

_REGISTRATION_START = np.datetime64("2019-01-01", "ms").astype(np.int64)
_REGISTRATION_END = np.datetime64("2026-01-01", "ms").astype(np.int64)
_FAMILY_SHARE, _FAMILY_SIZE = 0.3, 3


@dataclass
class Customers(Columns):
    """One row a customer. Habits are shares (0 to 1) unless a unit is named."""

    customer_id: Array
    registered_at: Array  # ms since the epoch
    age_years: Array
    city: Array  # index into the cities
    country: Array  # index into the countries
    latitude: Array
    longitude: Array
    utc_offset: Array  # hours, from the longitude
    activity: Array  # relative frequency of visits, heavy-tailed, mean 1
    peak_hour: Array  # local hour of most visits
    weekend: Array  # factor on Saturdays and Sundays
    price_level: Array  # quantile of a category's prices that the customer likes
    favourites: Array  # three categories, the dearest to the heart first
    pace: Array  # median seconds between two events
    devices: Array  # 1 to 3
    cards: Array  # 1 to 3
    payment: Array  # preferred payment method
    clears_cookies: Array  # whether half of the visits come with a fresh device id
    foreign_address: Array  # whether a VPN or an employer's network shows another country
    travels: Array  # share of time abroad
    family: Array  # index of the family's head, whose address, second device and second card all of it use


def build_customers(count: int, seed: int, geography: Geography) -> Customers:
    """Makes `count` customers."""
    rng = np.random.default_rng([seed, 2])
    family = _families(count, seed)
    city = geography.draw(rng.random(count))[family]
    cities = geography.cities
    longitude = np.round(cities.longitude[city] + rng.normal(0, 0.04, count)[family], 4)
    activity = np.minimum(rng.lognormal(0, 1.0, count), 30)
    return Customers(
        customer_id=np.array([f"c-{number:07d}" for number in range(count)], dtype=object),
        registered_at=rng.integers(_REGISTRATION_START, _REGISTRATION_END, count),
        age_years=np.clip(rng.normal(41, 14, count), 18, 92).astype(np.int32),
        city=city.astype(np.int32),
        country=cities.country[city],
        latitude=np.round(np.clip(cities.latitude[city] + rng.normal(0, 0.03, count)[family], -90, 90), 4),
        longitude=np.clip(longitude, -180, 180),
        utc_offset=np.round(longitude / 15).astype(np.int32),
        activity=activity / activity.mean(),
        peak_hour=(rng.choice([20.0, 12.5, 9.0, 22.5, 3.0], count, p=[0.5, 0.22, 0.15, 0.1, 0.03])),
        weekend=rng.uniform(0.7, 1.7, count),
        price_level=rng.beta(2.2, 2.6, count),
        favourites=_favourites(count, rng),
        pace=rng.lognormal(np.log(9), 0.35, count),
        devices=rng.choice([1, 2, 3], count, p=[0.35, 0.45, 0.2]),
        cards=rng.choice([1, 2, 3], count, p=[0.6, 0.3, 0.1]),
        payment=rng.choice(5, count, p=[0.62, 0.22, 0.07, 0.04, 0.05]).astype(np.int8),
        clears_cookies=rng.random(count) < 0.08,
        foreign_address=rng.random(count) < 0.03,
        travels=np.minimum(rng.gamma(0.6, 0.07, count), 0.6),
        family=family,
    )


def _families(count: int, seed: int) -> Array:
    """The head of each customer's family: most people are their own."""
    order = np.random.default_rng([seed, 8]).permutation(count)
    members = order[: int(_FAMILY_SHARE * count) // _FAMILY_SIZE * _FAMILY_SIZE].reshape(-1, _FAMILY_SIZE)
    head = np.arange(count)
    head[members] = members[:, :1]
    return head


def _favourites(count: int, rng: np.random.Generator) -> Array:
    # Gumbel's trick: the three largest of log-weight + noise are a weighted draw without replacement.
    share = np.log([category.share for category in CATEGORIES])
    return np.argsort(-(share + rng.gumbel(size=(count, len(CATEGORIES)))), axis=1)[:, :3].astype(np.int16)
