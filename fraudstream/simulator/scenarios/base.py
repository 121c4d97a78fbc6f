"""What a fraud scenario is: who is attacked, how often, and how its sessions differ from the victim's own."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from fraudstream.simulator.catalogue import category_numbers
from fraudstream.simulator.columns import Array, counts_to_groups, mix
from fraudstream.simulator.legitimate import DAY_MS, chance, fresh_identity, legitimate_sessions, random_spot
from fraudstream.simulator.sessions import MAX_SESSION_MS, Sessions
from fraudstream.simulator.shop import Shop

#: The last purchase of an attack begins at most this long after the first.
MAX_ATTACK_MS = 45 * 60_000
#: No event of anything that starts at a time comes later than this after it.
MAX_LIFETIME_MS = MAX_ATTACK_MS + MAX_SESSION_MS

#: Categories whose goods are easily sold on.
RESOLD = category_numbers("Smartphones", "Laptops", "Audio", "Cameras", "Watches", "Jewellery")

_RINGS = 60
_RING_PERIOD_MS = 6 * DAY_MS
_RING_DEVICE, _RING_CITY, _RING_SPOT = 21, 22, 23


class Scenario(Protocol):
    """A kind of fraud. `share` is its part of all fraudulent transactions; `mean_size` its purchases an attack."""

    name: ClassVar[str]
    share: ClassVar[float]
    mean_size: ClassVar[float]

    def sizes(self, rng: np.random.Generator, attacks: int) -> Array:
        """Purchases of each attack, at least 1."""
        ...

    def sessions(self, shop: Shop, rng: np.random.Generator, attacks: "Attacks") -> Sessions:
        """One session a purchase, in the order of the attacks."""
        ...


@dataclass(frozen=True)
class Attacks:
    """Attacks of one scenario: when each starts (ms), its purchases, and the scenario's code in the columns."""

    start: Array
    size: Array
    code: int

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True)
class Raid:
    """An attack's sessions as the victims would have made them, and what the attackers of each row have at hand."""

    sessions: Sessions
    attack: Array  # each row's attack
    number: Array  # and its number within it
    stealth: Array  # 0 (careless) to 1 (nothing gives it away), one an attack
    device: Array  # attacker's device, address and country, one a row
    city: Array
    latitude: Array
    longitude: Array
    country: Array

    def careless(self, rng: np.random.Generator, probability: float) -> Array:
        """Rows whose attack shows a trait: with `probability`, less for stealthy attackers; alike within an attack."""
        shows = rng.random(len(self.stealth)) < probability * (1 - self.stealth)
        return np.asarray(shows[self.attack])


def prepare_raid(shop: Shop, rng: np.random.Generator, attacks: Attacks, gap_seconds: Array) -> Raid:
    """Picks victims and lays out an attack's sessions, `gap_seconds` (one a row) after one another."""
    attack, number = counts_to_groups(attacks.size)
    hour = int(attacks.start[0]) if len(attacks) else 0
    victim = shop.visitors(hour, len(attacks), rng)
    elapsed = np.cumsum(np.where(number == 0, 0.0, gap_seconds * 1000))
    elapsed -= elapsed[number == 0][attack]
    start = attacks.start[attack] + np.minimum(elapsed, MAX_ATTACK_MS).astype(np.int64)
    sessions = legitimate_sessions(shop, rng, victim[attack], start, np.ones(len(attack), dtype=bool))
    sessions.scenario[:] = attacks.code
    sessions.device_type[:] = rng.choice(3, len(attacks), p=[0.45, 0.5, 0.05])[attack]
    device, city, latitude, longitude = _equipment(shop, rng, attacks, victim)
    country = shop.geography.cities.country[shop.geography.draw(rng.random(len(attacks)))]
    return Raid(
        sessions=sessions,
        attack=attack,
        number=number,
        stealth=rng.beta(0.8, 4.0, len(attacks)),
        device=device[attack],
        city=city[attack],
        latitude=latitude[attack],
        longitude=longitude[attack],
        country=country[attack],
    )


def _equipment(
    shop: Shop, rng: np.random.Generator, attacks: Attacks, victim: Array
) -> tuple[Array, Array, Array, Array]:
    """Device and drop address of each attack; some belong to a ring, which uses them for several victims."""
    rows = len(attacks)
    ring = mix(rng.integers(0, _RINGS, rows), attacks.start // _RING_PERIOD_MS)
    ring_device = mix(_RING_DEVICE, ring, rng.integers(0, 2, rows))
    device = np.where(chance(rng, 0.3, rows), ring_device, fresh_identity(rng, rows))
    # Half of the drops are in the victim's own country, so that the country alone doesn't tell.
    people, geography = shop.customers, shop.geography
    neighbour = people.city[_compatriots(shop, rng, victim)]
    city = np.where(chance(rng, 0.5, rows), neighbour, geography.draw(rng.random(rows)))
    latitude, longitude = random_spot(shop, rng, city)
    shared = chance(rng, 0.3, rows)
    ring_city = geography.draw(mix(_RING_CITY, ring).astype(np.float64) / 2**64)
    shift = 0.06 * (mix(_RING_SPOT, ring).astype(np.float64) / 2**64 - 0.5)
    ring_latitude = np.round(np.clip(geography.cities.latitude[ring_city] + shift, -90, 90), 4)
    ring_longitude = np.round(np.clip(geography.cities.longitude[ring_city] + shift, -180, 180), 4)
    return (
        device,
        np.where(shared, ring_city, city).astype(np.int32),
        np.where(shared, ring_latitude, latitude),
        np.where(shared, ring_longitude, longitude),
    )


def _compatriots(shop: Shop, rng: np.random.Generator, victim: Array) -> Array:
    country = shop.customers.country
    order = np.argsort(country, kind="stable")
    first = np.searchsorted(country[order], country[victim], side="left")
    last = np.searchsorted(country[order], country[victim], side="right")
    return order[first + np.floor(rng.random(len(victim)) * (last - first)).astype(np.int64)]


def override(column: Array, rows: Array, values: Array | np.generic | float) -> None:
    """Sets `column` to `values` where `rows` is true."""
    np.copyto(column, values, where=rows, casting="same_kind")
