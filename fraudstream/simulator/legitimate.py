"""Legitimate sessions: habits, and some of the lookalikes of fraud among them.

Travellers show another country and use a hotel's computer, gifts go to other people's addresses, phones and cards are
replaced, families share a device and a card, some people clear their cookies, use a VPN, splurge, or rush through a
checkout. What a customer keeps for a while (a phone, a card, a trip) is a hash of customer and period, so that two
slices of time agree without sharing memory.
"""

import numpy as np

from fraudstream.simulator.columns import Array, stable_hash, stable_uniform
from fraudstream.simulator.geography import Place
from fraudstream.simulator.sessions import DEVICE_TYPES, PROMO_CODES, TRAFFIC_SOURCES, Sessions
from fraudstream.simulator.shop import Shop
from fraudstream.simulator.times import DAY_MS

_TRIP_MS = 5 * DAY_MS
_FAMILY_SLOT = 1
_FRIENDS_AT_HOME = 0.75  # of a customer's friends live in the same country

# Purposes of the stable hashes.
_DEVICE, _CARD, _TRIP, _FRIEND, _WORK, _FOREIGN, _PHASE = range(11, 18)


def chance(rng: np.random.Generator, probability: Array | float, rows: int) -> Array:
    """A random mask of `rows`, true with `probability`."""
    return rng.random(rows) < probability


def legitimate_sessions(shop: Shop, rng: np.random.Generator, customer: Array, start: Array, buys: Array) -> Sessions:
    """Sessions of `customer` (indices) beginning at `start` (ms), as their habits have it."""
    rows = len(customer)
    people = shop.customers
    abroad, trip_city = _trips(shop, customer, start)
    device, device_type = _devices(shop, rng, customer, start, abroad)
    place = _addresses(shop, rng, customer, abroad, trip_city)
    rushed = buys & chance(rng, 0.12, rows)
    scripted = chance(rng, 0.006, rows)  # app deep links, assistive tools: even and fast, and honest
    splurge = chance(rng, 0.07, rows)
    payment = np.where(chance(rng, 0.85, rows), people.payment[customer], rng.choice(5, rows, p=_PAYMENT_SHARES))
    return Sessions(
        start=start.astype(np.int64),
        customer=customer.astype(np.int32),
        scenario=np.zeros(rows, np.int8),
        buys=buys,
        device=device,
        device_type=device_type,
        source=rng.choice(len(TRAFFIC_SOURCES), rows, p=_SOURCE_SHARES).astype(np.int8),
        steps=np.where(rushed, rng.integers(1, 3, rows), 1 + np.minimum(rng.geometric(0.2, rows), 24)),
        cart_share=np.where(buys, 0.07, 0.05),
        category=np.full(rows, -1, np.int16),
        price_level=people.price_level[customer] + np.where(splurge, rng.uniform(0.15, 0.5, rows), 0.0),
        price_spread=np.full(rows, 0.16),
        bulk=np.where(chance(rng, 0.04, rows), 0.7, 0.08),
        pace=people.pace[customer] * np.where(rushed, 0.5, 1.0) * np.where(scripted, 0.15, 1.0),
        pace_spread=np.where(scripted, 0.12, 0.85),
        dwell=np.where(scripted, 0.0, 1.0),
        begins_checkout=np.where(buys, chance(rng, 0.97, rows), chance(rng, 0.12, rows)),
        adds_payment=np.where(buys, chance(rng, 0.88, rows), chance(rng, 0.03, rows)),
        payment=payment.astype(np.int8),
        card=_cards(shop, rng, customer, start),
        city=place.city.astype(np.int32),
        latitude=place.latitude,
        longitude=place.longitude,
        ip_country=_ip_country(shop, rng, customer, abroad, trip_city),
        promo=np.where(chance(rng, 0.2, rows), rng.integers(0, len(PROMO_CODES), rows), -1).astype(np.int8),
        express=chance(rng, 0.14, rows),
    )


_SOURCE_SHARES = np.array([0.34, 0.26, 0.12, 0.09, 0.1, 0.05, 0.04])
_PAYMENT_SHARES = np.array([0.6, 0.22, 0.08, 0.05, 0.05])


def own_device(customer: Array, slot: Array, time: Array) -> Array:
    """The identity of a customer's device in `slot` (0, 1, 2) at `time`: replaced every 5 to 18 months."""
    period = (150 + 400 * stable_uniform(_PHASE, customer, slot)) * DAY_MS
    phase = stable_uniform(_PHASE + 1, customer, slot) * period
    return stable_hash(_DEVICE, customer, slot, ((time + phase) // period).astype(np.int64))


def own_card(customer: Array, slot: Array, time: Array) -> Array:
    """The identity of a customer's card in `slot` at `time`: replaced every one to three years."""
    period = (365 + 730 * stable_uniform(_PHASE + 2, customer, slot)) * DAY_MS
    phase = stable_uniform(_PHASE + 3, customer, slot) * period
    return stable_hash(_CARD, customer, slot, ((time + phase) // period).astype(np.int64))


def fresh_identity(rng: np.random.Generator, rows: int) -> Array:
    """New 64-bit identities, for devices and cards never seen before."""
    return rng.integers(1, 2**64, rows, dtype=np.uint64)


def random_spot(shop: Shop, rng: np.random.Generator, city: Array) -> tuple[Array, Array]:
    """Latitude and longitude somewhere in each city."""
    cities = shop.geography.cities
    latitude = np.clip(cities.latitude[city] + rng.normal(0, 0.03, len(city)), -90, 90)
    longitude = np.clip(cities.longitude[city] + rng.normal(0, 0.04, len(city)), -180, 180)
    return np.round(latitude, 4), np.round(longitude, 4)


def friend_of(shop: Shop, customer: Array, number: Array) -> Array:
    """Customers (indices) whom each customer sends presents to: each `number` is another friend, most near by."""
    who = stable_uniform(_FRIEND, customer, number)
    anyone = np.floor(who * len(shop.customers)).astype(np.int64)
    near = stable_uniform(_FRIEND + 100, customer, number) < _FRIENDS_AT_HOME
    return np.where(near, shop.compatriots(customer, who), anyone)


def _owner(shop: Shop, customer: Array, slot: Array) -> Array:
    """Whose the thing in `slot` is: the second device and card of a family belong to all of it."""
    return np.where(slot == _FAMILY_SLOT, shop.customers.family[customer], customer)


def _devices(shop: Shop, rng: np.random.Generator, customer: Array, start: Array, abroad: Array) -> tuple[Array, Array]:
    rows = len(customer)
    slot = np.minimum(rng.choice(3, rows, p=[0.66, 0.22, 0.12]), shop.customers.devices[customer] - 1)
    borrowed = np.where(shop.customers.clears_cookies[customer], 0.5, np.where(abroad, 0.12, 0.035))
    fresh = chance(rng, borrowed, rows)
    owner = _owner(shop, customer, slot)
    device = np.where(fresh, fresh_identity(rng, rows), own_device(owner, slot, start))
    # A customer's first device is a phone in seven cases of ten.
    kind = (stable_hash(_DEVICE, owner, slot) % np.uint64(10)).astype(np.int64)
    usual = np.where(kind < 6, 0, np.where(kind < 9, 1, 2))
    return device, np.where(fresh, rng.choice(len(DEVICE_TYPES), rows, p=[0.6, 0.34, 0.06]), usual).astype(np.int8)


def _cards(shop: Shop, rng: np.random.Generator, customer: Array, start: Array) -> Array:
    rows = len(customer)
    slot = np.minimum(rng.choice(3, rows, p=[0.75, 0.18, 0.07]), shop.customers.cards[customer] - 1)
    virtual = chance(rng, 0.05, rows)  # one-time card numbers, someone else's card
    return np.where(virtual, fresh_identity(rng, rows), own_card(_owner(shop, customer, slot), slot, start))


def _trips(shop: Shop, customer: Array, start: Array) -> tuple[Array, Array]:
    phase = stable_uniform(_PHASE + 4, customer) * _TRIP_MS
    trip = ((start + phase) // _TRIP_MS).astype(np.int64)
    abroad = stable_uniform(_TRIP, customer, trip) < shop.customers.travels[customer]
    return abroad, shop.geography.draw(stable_uniform(_TRIP + 100, customer, trip))


def _addresses(shop: Shop, rng: np.random.Generator, customer: Array, abroad: Array, trip_city: Array) -> Place:
    rows = len(customer)
    people, home_city = shop.customers, shop.customers.city[customer]
    draw = rng.random(rows)
    friend = friend_of(shop, customer, rng.integers(0, 3, rows))
    elsewhere = np.where(abroad, trip_city, shop.geography.draw(rng.random(rows)))
    away = np.where(abroad, 0.35, 0.035)
    choices = [draw < away, draw < away + 0.08, draw < away + 0.16]
    new_latitude, new_longitude = random_spot(shop, rng, elsewhere)
    work_latitude = people.latitude[customer] + 0.06 * (stable_uniform(_WORK, customer) - 0.5)
    work_longitude = people.longitude[customer] + 0.08 * (stable_uniform(_WORK + 100, customer) - 0.5)
    return Place(
        city=np.select(choices, [elsewhere, people.city[friend], home_city], home_city),
        latitude=np.select(
            choices,
            [new_latitude, people.latitude[friend], np.round(np.clip(work_latitude, -90, 90), 4)],
            people.latitude[customer],
        ),
        longitude=np.select(
            choices,
            [new_longitude, people.longitude[friend], np.round(np.clip(work_longitude, -180, 180), 4)],
            people.longitude[customer],
        ),
    )


def _ip_country(shop: Shop, rng: np.random.Generator, customer: Array, abroad: Array, trip_city: Array) -> Array:
    rows = len(customer)
    country = shop.geography.cities.country
    masked = np.where(shop.customers.foreign_address[customer], 0.9, 0.012)
    # A VPN shows the country of its exit, mostly the same one for the same person.
    exit_city = shop.geography.draw(stable_uniform(_FOREIGN, customer))
    home = np.where(abroad, country[trip_city], shop.customers.country[customer])
    return np.where(chance(rng, masked, rows), country[exit_city], home).astype(np.int16)
