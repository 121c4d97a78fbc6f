"""Attackers: the sessions of their victims, and the equipment that they put over the victims' own habits."""

from dataclasses import dataclass

import numpy as np

from fraudstream.simulator.catalogue import category_numbers
from fraudstream.simulator.columns import Array, counts_to_groups, stable_hash, stable_uniform
from fraudstream.simulator.geography import Place
from fraudstream.simulator.legitimate import chance, fresh_identity, legitimate_sessions, random_spot
from fraudstream.simulator.scenario import MAX_ATTACK_MS, Attacks
from fraudstream.simulator.sessions import CARD, Sessions
from fraudstream.simulator.shop import Shop
from fraudstream.simulator.times import DAY_MS

#: Categories whose goods are easily sold on.
_RESOLD = category_numbers("Smartphones", "Laptops", "Audio", "Cameras", "Watches", "Jewellery")

_RINGS = 60
_RING_PERIOD_MS = 6 * DAY_MS
_RING_SHARE = 0.3  # of the attacks use a ring's device, and of the drops are a ring's
_STEALTH_CONCENTRATION = 4.8  # of a beta distribution: few attackers hide nothing, fewer hide all

# Purposes of the stable hashes.
_RING_DEVICE, _RING_CITY, _RING_SPOT, _RING_ACCOUNT = range(21, 25)


@dataclass(frozen=True)
class Attackers:
    """The sessions of attacks as the victims would have made them, and what the attackers have at hand.

    The columns are one an attack, except `sessions`, `attack` and `number`, which are one a purchase.
    """

    sessions: Sessions
    attack: Array  # each row's attack
    number: Array  # and its number within it
    stealth: Array  # 0 (careless) to 1 (nothing gives it away)
    ring: Array  # 64-bit identity of the ring that the attackers belong to
    device: Array
    device_type: Array
    drop: Place
    country: Array  # where the attackers' address on the net appears to be

    def __len__(self) -> int:
        return len(self.attack)

    def careless(self, rng: np.random.Generator, probability: float) -> Array:
        """Rows whose attack shows a trait: with `probability`, less for stealthy attackers; alike within an attack."""
        shows = rng.random(len(self.stealth)) < probability * (1 - self.stealth)
        return np.asarray(shows[self.attack])

    def use_device(self, rows: Array) -> None:
        """Buys from the attackers' device where `rows` is true."""
        override(self.sessions.device, rows, self.device[self.attack])
        override(self.sessions.device_type, rows, self.device_type[self.attack])

    def ship_to(self, place: Place, rows: Array) -> None:
        """Ships to `place` (one an attack) where `rows` is true."""
        override(self.sessions.city, rows, place.city[self.attack])
        override(self.sessions.latitude, rows, place.latitude[self.attack])
        override(self.sessions.longitude, rows, place.longitude[self.attack])

    def come_from(self, rows: Array) -> None:
        """Shows the attackers' country where `rows` is true."""
        override(self.sessions.ip_country, rows, self.country[self.attack])

    def want_resold(self, rng: np.random.Generator, rows: Array) -> None:
        """Looks for one kind of what is easily sold on, each purchase for its own, where `rows` is true."""
        override(self.sessions.category, rows, rng.choice(_RESOLD, len(rows)).astype(np.int16))

    def pay_with(self, card: Array, rows: Array) -> None:
        """Pays with `card` (one a purchase) where `rows` is true."""
        override(self.sessions.card, rows, card)
        override(self.sessions.payment, rows, np.int8(CARD))


def prepare_attackers(
    shop: Shop, rng: np.random.Generator, attacks: Attacks, gap_seconds: Array, accounts: Array | None = None
) -> Attackers:
    """Lays out the sessions of `attacks`, `gap_seconds` (one a purchase) after one another.

    `accounts` are the customers whose accounts buy, one a purchase; without it, an attack has one victim, who is drawn
    as shoppers are.
    """
    attack, number = counts_to_groups(attacks.size)
    if accounts is None:
        hour = int(attacks.start[0]) if len(attacks) else 0
        accounts = shop.draw_visitors(hour, len(attacks), rng)[attack]
    elapsed = np.cumsum(np.where(number == 0, 0.0, gap_seconds * 1000))
    elapsed -= elapsed[number == 0][attack]
    start = attacks.start[attack] + np.minimum(elapsed, MAX_ATTACK_MS).astype(np.int64)
    sessions = legitimate_sessions(shop, rng, accounts, start, np.ones(len(attack), dtype=bool))
    sessions.scenario[:] = attacks.code
    rows, ring = len(attacks), draw_rings(rng, attacks)
    shared_device = stable_hash(_RING_DEVICE, ring, rng.integers(0, 2, rows))
    return Attackers(
        sessions=sessions,
        attack=attack,
        number=number,
        stealth=_stealth(rng, attacks.difficulty, rows),
        ring=ring,
        device=np.where(chance(rng, _RING_SHARE, rows), shared_device, fresh_identity(rng, rows)),
        device_type=rng.choice(3, rows, p=[0.45, 0.5, 0.05]).astype(np.int8),
        drop=_drops(shop, rng, accounts[number == 0], ring),
        country=shop.geography.cities.country[shop.geography.draw(rng.random(rows))],
    )


def draw_rings(rng: np.random.Generator, attacks: Attacks) -> Array:
    """A ring for each attack: a few dozen are active at a time, and each for some days."""
    return stable_hash(rng.integers(0, _RINGS, len(attacks)), attacks.start // _RING_PERIOD_MS)


def ring_accounts(shop: Shop, ring: Array, number: Array) -> Array:
    """The ring's account of each `number`: little used ones, which it opened or bought."""
    return shop.dormant[(stable_hash(_RING_ACCOUNT, ring, number) % np.uint64(len(shop.dormant))).astype(np.int64)]


def ring_place(shop: Shop, ring: Array) -> Place:
    """The address at which each ring receives what it buys."""
    cities = shop.geography.cities
    city = shop.geography.draw(stable_uniform(_RING_CITY, ring))
    shift = 0.06 * (stable_uniform(_RING_SPOT, ring) - 0.5)
    return Place(
        city=city.astype(np.int32),
        latitude=np.round(np.clip(cities.latitude[city] + shift, -90, 90), 4),
        longitude=np.round(np.clip(cities.longitude[city] + shift, -180, 180), 4),
    )


def override(column: Array, rows: Array, values: Array | np.generic | float) -> None:
    """Sets `column` to `values` where `rows` is true."""
    np.copyto(column, values, where=rows, casting="same_kind")


def _stealth(rng: np.random.Generator, difficulty: float, rows: int) -> Array:
    if difficulty in (0.0, 1.0):
        return np.full(rows, difficulty)
    return rng.beta(_STEALTH_CONCENTRATION * difficulty, _STEALTH_CONCENTRATION * (1 - difficulty), rows)


def _drops(shop: Shop, rng: np.random.Generator, victim: Array, ring: Array) -> Place:
    """Where each attack's goods go: some to a ring's address, which several attacks share."""
    rows = len(victim)
    # Half of the others are in the victim's own country, so that the country alone doesn't tell.
    neighbour = shop.customers.city[shop.compatriots(victim, rng.random(rows))]
    city = np.where(chance(rng, 0.5, rows), neighbour, shop.geography.draw(rng.random(rows)))
    latitude, longitude = random_spot(shop, rng, city)
    shared, ours = chance(rng, _RING_SHARE, rows), ring_place(shop, ring)
    return Place(
        city=np.where(shared, ours.city, city).astype(np.int32),
        latitude=np.where(shared, ours.latitude, latitude),
        longitude=np.where(shared, ours.longitude, longitude),
    )
