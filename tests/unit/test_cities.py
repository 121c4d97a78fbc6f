"""A mapping with a city and its country, and no coordinates, gives those of the city; and no city is an address."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fraudstream.mappings.check import check, lines
from fraudstream.mappings.files import read_rows
from fraudstream.mappings.history import write_history
from fraudstream.messages.mapping.cities import coordinates_of
from fraudstream.messages.mapping.compiled import MappedRecords
from fraudstream.messages.mapping.file import Mapping, of
from fraudstream.messages.places import is_city
from model.features.entity_risk import shipping_addresses
from model.training.history import HistoryFolder

KILOMETRE = 0.01  # degrees, roughly
FIELDS = 'transaction_id = "id"\nevent_time = "at"\ncustomer_id = "who"\namount = "sum"\n'
PLACE = 'shipping_city = "city"\nshipping_country = { path = "country", case = "upper" }\n'
ORDER = {"id": "1", "at": "2026-03-01", "who": "c", "sum": 1}
BERN = (46.948, 7.447)


def mapping(fields: str = PLACE, source: str = "", form: str = "json") -> Mapping:
    return of(tomllib.loads(f'[source]\nkind = "transaction"\nformat = "{form}"\n{source}\n[fields]\n{FIELDS}{fields}'))


def place_of(found: Mapping, **order: Any) -> tuple[float, float] | None:
    event = MappedRecords(found).event(ORDER | order)
    place = event.get("shipping_latitude"), event.get("shipping_longitude")
    return None if place == (None, None) else place


def is_near(found: tuple[float, float] | None, *expected: float) -> bool:
    return found is not None and np.allclose(found, expected, atol=KILOMETRE)


def test_a_city_has_its_coordinates() -> None:
    assert is_near(place_of(mapping(), city="Bern", country="ch"), *BERN)


@pytest.mark.parametrize(
    "name", ["München", "MUNCHEN", "Muenchen", "munich", " Múnich ", "Monaco di Baviera", "Мюнхен"]
)
def test_neither_letters_nor_languages_of_a_name_matter(name: str) -> None:
    assert is_near(coordinates_of(name, "DE"), 48.137, 11.575)


@pytest.mark.parametrize(
    ("name", "country", "latitude", "longitude"),
    [
        ("Portland", "US", 45.52, -122.68),  # in Oregon: that in Maine is smaller
        ("Frankfurt", "DE", 50.12, 8.68),  # on the Main, not on the Oder
        ("Paris", "FR", 48.853, 2.349),
        ("Paris", "US", 33.66, -95.56),  # the largest of those
        ("St. Gallen", "CH", 47.42, 9.37),
        ("Saint Etienne", "FR", 45.43, 4.39),
        ("'s-Hertogenbosch", "NL", 51.69, 5.30),
    ],
)
def test_of_several_the_largest_of_the_country_is_meant(
    name: str, country: str, latitude: float, longitude: float
) -> None:
    assert is_near(coordinates_of(name, country), latitude, longitude)


@pytest.mark.parametrize(
    ("city", "country"), [("Nowhere", "DE"), ("Bern", "XX"), ("", "DE"), ("-", "DE"), ("Bern", None), (None, "CH")]
)
def test_a_city_that_is_not_known_has_none(city: str | None, country: str | None) -> None:
    assert place_of(mapping(), city=city, country=country) is None


@pytest.mark.parametrize(
    "found",
    [
        mapping(PLACE.replace("shipping_country", "ip_country")),
        mapping(PLACE + 'shipping_latitude = "lat"\nshipping_longitude = "lon"\n'),
        mapping(PLACE + 'shipping_latitude = "lat"\n'),
        mapping(source="city_coordinates = false"),
    ],
    ids=["no country", "coordinates", "a latitude alone", "not wanted"],
)
def test_only_a_mapping_that_asks_gets_them(found: Mapping) -> None:
    assert place_of(found, city="Bern", country="CH") is None


def test_a_history_has_them_and_a_check_tells(tmp_path: Path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text("id,at,who,sum,city,country\n1,2026-03-01,c,1,Bern,CH\n2,2026-03-02,c,1,Nowhere,CH\n")
    found = mapping(form="csv")
    write_history(tmp_path / "history", [(orders, found)])
    rows = HistoryFolder(tmp_path / "history").table("transactions")
    assert is_near(tuple(rows.loc[0, ["shipping_latitude", "shipping_longitude"]]), *BERN)
    assert np.isnan(rows.loc[1, "shipping_latitude"])
    told = "\n".join(lines(check(found, read_rows(orders, found)), found))
    assert "shipping_latitude   that of the city" in told
    assert "50.0%  46.9" in told


def test_a_city_is_no_address() -> None:
    city, address, unknown = coordinates_of("Bern", "CH"), (46.94798, 7.44744), (np.nan, np.nan)
    latitude, longitude = np.array([city, address, unknown]).T
    assert is_city(latitude, longitude).tolist() == [True, False, False]
    assert shipping_addresses(latitude, longitude).tolist() == [None, "469480:74474", None]
