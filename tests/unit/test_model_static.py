"""Static features: distances, prices against the catalogue, and what isn't known."""

import pickle
from decimal import Decimal
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pytest

from model.features.columns import STATIC_FEATURES
from model.features.static import StaticData
from tests.unit.model_events import START

CUSTOMERS = pd.DataFrame(
    {
        "customer_id": ["c1", "c2"],
        "registered_at": [START - pd.Timedelta(days=10), START + pd.Timedelta(days=1)],
        "home_city": ["Berlin", "Paris"],
        "home_country": ["DE", "FR"],
        "home_latitude": [52.52, 48.8566],
        "home_longitude": [13.405, 2.3522],
        "age_years": [30, 50],
    }
)
PRODUCTS = pd.DataFrame(
    {
        "product_id": ["p1", "p2", "p3", "p4"],
        "name": ["A", "B", "C", "D"],
        "category": ["audio", "audio", "audio", "books"],
        "list_price": [Decimal("10.00"), Decimal("30.00"), Decimal("50.00"), Decimal("8.00")],
    }
)
STATIC = StaticData.from_frames(CUSTOMERS, PRODUCTS, version=3)


def line(product: str, quantity: int, price: float) -> dict[str, Any]:
    return {"product_id": product, "quantity": quantity, "unit_price": price}


def transactions(*rows: dict[str, Any]) -> pd.DataFrame:
    usual = {
        "customer_id": "c1",
        "event_time": START,
        "amount": 10.0,
        "exchange_rate": 1.0,
        "shipping_latitude": 52.52,
        "shipping_longitude": 13.405,
        "shipping_country": "DE",
        "ip_country": "DE",
        "items": [line("p1", 1, 10.0)],
    }
    return pd.DataFrame([usual | row for row in rows])


def features(*rows: dict[str, Any]) -> list[dict[str, float]]:
    frame = transactions(*rows)
    return [dict(zip(STATIC_FEATURES, row, strict=True)) for row in STATIC.features(frame, bought(*[[]] * len(frame)))]


def bought(*products: list[str]) -> np.ndarray:
    """The hashes of the products that each customer bought before."""
    known = np.full((len(products), 3), np.nan)
    for row, names in enumerate(products):
        known[row, : len(names)] = [crc32(name.encode()) for name in names]
    return known


def test_customer_features() -> None:
    at_home, abroad = features(
        {}, {"shipping_latitude": 48.8566, "shipping_longitude": 2.3522, "shipping_country": "FR", "ip_country": "US"}
    )
    names = ("home_km", "ships_abroad", "ip_abroad", "account_days", "customer_age")
    assert [at_home[name] for name in names] == [0, 0, 0, 10, 30]
    assert [abroad[name] for name in names] == [pytest.approx(878, abs=2), 1, 1, 10, 30]


def test_an_account_registered_later_is_not_younger_than_nothing() -> None:
    assert features({"customer_id": "c2"})[0]["account_days"] == 0


def test_product_features() -> None:
    single, mixed = features({}, {"items": [line("p3", 2, 40.0), line("p4", 5, 8.0)], "amount": 126.0})
    assert single["price_rank_mean"] == 0
    assert mixed["list_price_max"] == 50
    assert mixed["price_to_list"] == pytest.approx(120 / 140)
    assert mixed["amount_to_list"] == pytest.approx(126 / 140)
    assert mixed["top_category_share"] == pytest.approx(100 / 140)
    assert mixed["category_price"] == 30
    assert np.isnan(mixed["price_rank_mean"])  # the only book has no rank


def test_a_category_is_new_when_none_of_the_customers_products_is_in_it() -> None:
    items = [line("p3", 2, 40.0), line("p4", 5, 8.0)]  # audio for 100, books for 40, as listed
    frame = transactions(*[{"items": items}] * 5)
    found = STATIC.features(frame, bought(["p1"], ["p4", "p9"], ["p1", "p4"], ["p9"], []))
    shares = found[:, STATIC_FEATURES.index("new_category_share")]
    np.testing.assert_allclose(shares, [40 / 140, 100 / 140, 0, np.nan, np.nan])


def test_unknown_customers_and_products_are_nan_and_harm_no_other_row() -> None:
    known, unknown = features({}, {"customer_id": "c9", "items": [line("p1", 1, 10.0), line("p9", 1, 1.0)]})
    assert all(np.isnan(value) for value in unknown.values())
    assert known == pytest.approx(features({})[0], abs=0, nan_ok=True)


def test_no_transactions_give_no_rows() -> None:
    assert STATIC.features(transactions({}).iloc[:0], bought()).shape == (0, len(STATIC_FEATURES))


def test_a_row_alone_has_the_bits_that_it_has_in_a_batch() -> None:
    random = np.random.default_rng(0)
    rows = [
        {
            "shipping_latitude": random.uniform(-90, 90),
            "shipping_longitude": random.uniform(-180, 180),
            "items": [line(f"p{random.integers(1, 5)}", 1, random.uniform(1, 9)) for _ in range(random.integers(1, 5))],
        }
        for _ in range(37)
    ]
    together = STATIC.features(transactions(*rows), bought(*[["p4"]] * len(rows)))
    alone = np.concatenate([STATIC.features(transactions(row), bought(["p4"])) for row in rows])
    assert together.tobytes() == alone.tobytes()


def test_it_can_be_sent_to_workers() -> None:
    copy = pickle.loads(pickle.dumps(STATIC))  # noqa: S301 (our own bytes)
    assert copy.version == 3
    assert (
        copy.features(transactions({}), bought(["p4"])).tobytes()
        == STATIC.features(transactions({}), bought(["p4"])).tobytes()
    )


def test_without_static_data_all_is_unknown() -> None:
    empty = StaticData.from_frames(CUSTOMERS.iloc[:0], PRODUCTS.iloc[:0])
    found = empty.features(transactions({}, {}), bought(["p1"], []))
    assert found.shape == (2, len(STATIC_FEATURES))
    assert np.isnan(found).all()
