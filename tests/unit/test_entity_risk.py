"""Entity risk: the smoothed rate by hand, what an absent entity means, and no label before its time."""

import pickle
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.settings import EntityRiskSettings
from fraudstream.static_data.entities import WINDOW_DAYS, newest_refresh
from model.features.columns import ENTITY_FEATURES
from model.features.entity_risk import ENTITY_COLUMNS, EntityRisk
from model.training.entity_history import Intervals, entity_features_as_of
from tests.unit.entity_refresh import CATEGORIES, labels, purchases, random_history, refreshed, utc, with_items
from tests.unit.model_events import START

HOURLY = EntityRiskSettings(refresh_minutes=60, publication_seconds=60)
KNOWN = EntityRisk.from_frame(
    pd.DataFrame(
        [
            ("device", "shared", 30, 3, 4, 6, 3),
            ("device", "family", 20, 0, 2, 2, 0),
            ("card_token", "visa", 5, 1, 1, 3, 5),
            ("shipping_address", "525200:134100", 80, 0, 9, None, None),
            ("category", "audio", 500, 10, 90, None, None),
            ("category", "books", 480, 2, 90, None, None),
        ],
        columns=list(ENTITY_COLUMNS),
    ),
    version=7,
    transactions=1_000,
    frauds=10,
)


def joined(risk: EntityRisk, *rows: dict[str, Any]) -> list[dict[str, float]]:
    features = risk.features(purchases(*rows), CATEGORIES)
    return [dict(zip(ENTITY_FEATURES, values, strict=True)) for values in features]


def as_of(transactions: pd.DataFrame, known: pd.DataFrame, config: EntityRiskSettings = HOURLY) -> pd.DataFrame:
    features = entity_features_as_of(transactions, known, CATEGORIES, config)
    return pd.DataFrame(features, transactions.index, ENTITY_FEATURES)


def test_the_smoothed_rate_is_that_of_the_formula_over_the_shops_own() -> None:
    (found,) = joined(KNOWN, {})
    base = 10 / 1_000
    assert found["device_risk"] == pytest.approx((3 + 20 * base) / (30 + 20) / base)
    assert found["card_token_risk"] == pytest.approx((1 + 20 * base) / (5 + 20) / base)
    assert (found["device_frauds"], found["device_customers"]) == (3, 4)
    assert found["shipping_address_risk"] == pytest.approx(20 / 100)
    assert found["category_risk"] == pytest.approx((10 + 20 * base) / (500 + 20) / base)


def test_the_riskiest_category_counts_and_unknown_products_do_not() -> None:
    audio, books, both, unknown = joined(
        KNOWN,
        {},
        {"items": [{"product_id": "p3"}]},
        {"items": [{"product_id": "p3"}, {"product_id": "p9"}, {"product_id": "p1"}, {"product_id": "p2"}]},
        {"items": [{"product_id": "p9"}]},
    )
    assert both["category_risk"] == audio["category_risk"] > books["category_risk"]
    assert np.isnan(unknown["category_risk"])


def test_an_absent_entity_is_an_ordinary_one_and_no_card_is_unknown() -> None:
    (found,) = joined(KNOWN, {"device_id": "new", "card_token": None, "shipping_latitude": 1.0})
    assert (found["device_risk"], found["device_frauds"], found["device_customers"]) == (1, 0, 1)
    assert (found["shipping_address_risk"], found["shipping_address_frauds"]) == (1, 0)
    assert all(np.isnan(found[name]) for name in ENTITY_FEATURES if name.startswith("card_token"))


def test_a_shop_without_labelled_fraud_has_no_risk_but_customers() -> None:
    (found,) = joined(EntityRisk(2, 500, 0, KNOWN.entities), {"device_id": "family", "card_token": "other"})
    assert found["device_risk"] == pytest.approx(20 / 40)
    assert found["device_customers"] == 2
    assert found["card_token_risk"] == 1


def test_before_the_first_refresh_all_is_unknown() -> None:
    assert all(np.isnan(value) for value in joined(EntityRisk(), {})[0].values())
    assert EntityRisk().features(purchases({}).iloc[:0], CATEGORIES).shape == (0, len(ENTITY_FEATURES))


def test_of_several_components_the_largest_counts_and_what_ties_nobody_does_not() -> None:
    rows = [
        {},
        {"device_id": "family"},
        {"device_id": "new", "card_token": "new"},
        {"device_id": None, "card_token": None},  # only an address that many share
        {"device_id": None, "card_token": None, "shipping_latitude": 1.0},
    ]
    found = KNOWN.served(purchases(*rows), CATEGORIES)[:, len(ENTITY_FEATURES) :]
    np.testing.assert_array_equal(found, [[6, 5], [3, 5], [1, 0], [np.nan, np.nan], [1, 0]])
    assert np.isnan(EntityRisk().served(purchases({}), CATEGORIES)).all()


def test_it_can_be_sent_to_workers() -> None:
    copy = pickle.loads(pickle.dumps(KNOWN))  # noqa: S301 (our own bytes)
    assert copy.version == 7
    assert joined(copy, {}) == joined(KNOWN, {})


def test_a_label_counts_from_the_first_refresh_that_was_published_after_it() -> None:
    """Refreshes are on the hour and joined a minute later."""
    transactions = purchases(
        *({"event_time": START + timedelta(minutes=minutes)} for minutes in (0, 59, 60.9, 61, 120.9, 121))
    )
    known = labels(("t0", True, START + timedelta(minutes=60)))
    found = as_of(transactions, known)["device_frauds"].tolist()
    assert np.isnan(found[:3]).all()  # not one transaction was known to the refresh at START
    assert found[3:] == [0, 0, 1]  # the label of minute 60 came at the refresh of minute 60, not before it


def test_a_verdict_that_is_withdrawn_counts_no_more() -> None:
    transactions = purchases(*({"event_time": START + timedelta(hours=hours)} for hours in (0, 2.5, 4.5)))
    known = labels(("t0", True, START + timedelta(hours=1)), ("t0", False, START + timedelta(hours=3)))
    assert as_of(transactions, known)["device_frauds"].tolist()[1:] == [1, 0]


def test_what_left_the_window_counts_no_more() -> None:
    midnight = START.replace(hour=0)
    end = midnight + timedelta(days=WINDOW_DAYS)
    transactions = purchases(
        {"event_time": midnight, "customer_id": "c2"},
        {"event_time": midnight + timedelta(days=9)},
        {"event_time": end - timedelta(seconds=1)},
        {"event_time": end + timedelta(minutes=1)},
    )
    found = as_of(transactions, labels(("t0", True, midnight)))
    assert found["device_frauds"].tolist()[2:] == [1, 0]
    assert found["device_customers"].tolist()[2:] == [2, 1]


def refresh_of(time: pd.Timestamp, config: EntityRiskSettings) -> pd.Timestamp:
    milliseconds = time.value // 1_000_000 - config.publication_seconds * 1000
    return pd.Timestamp(utc(newest_refresh(milliseconds, config.refresh_minutes)))


@given(seed=st.integers(0, 2**32), rows=st.integers(1, 60), minutes=st.sampled_from([1, 10, 60]))
@settings(max_examples=25)
def test_training_has_the_bits_that_the_stream_would_have_joined(seed: int, rows: int, minutes: int) -> None:
    transactions, known = random_history(seed, rows)
    config = EntityRiskSettings(refresh_minutes=minutes, publication_seconds=30)
    found = as_of(transactions, known, config).to_numpy()
    for number in range(0, rows, 7):
        row = transactions.iloc[[number]]
        risk = refreshed(with_items(transactions), known, CATEGORIES, refresh_of(row["event_time"].iloc[0], config))
        assert risk.features(row, CATEGORIES).tobytes() == found[[number]].tobytes()


@given(seed=st.integers(0, 2**32), chosen=st.integers(0, 39))
@settings(max_examples=40)
def test_nothing_of_the_future_changes_the_past(seed: int, chosen: int) -> None:
    """Whatever happens, or is labelled, at or after the refresh that a transaction is joined with."""
    transactions, known = random_history(seed, 40)
    before = as_of(transactions, known)
    refresh = refresh_of(transactions["event_time"].iloc[chosen], HOURLY)
    past = transactions["event_time"] < refresh
    kept = transactions[past | (transactions.index == transactions.index[chosen])]
    early = known[known["labelled_at"] < refresh]
    later = known[known["labelled_at"] >= refresh].assign(is_fraud=lambda rows: ~rows["is_fraud"])
    for others, verdicts in ((kept, early), (kept, known), (transactions, pd.concat([early, later]))):
        after = as_of(others, verdicts)
        pd.testing.assert_series_equal(after.iloc[others.index.get_loc(f"t{chosen}")], before.iloc[chosen])


def test_no_interval_holds_its_end_or_what_ended_before_it_began() -> None:
    intervals = Intervals(np.array([0, 0, 1, 1]), np.array([5, 7, 5, 9]), np.array([9, 8, 9, 3]))
    key, moment = np.array([0, 0, 0, 0, 1, 1, 2]), np.array([4, 5, 7, 9, 8, 10, 6])
    assert intervals.holding(key, moment).tolist() == [0, 1, 2, 0, 1, 0, 0]


def test_many_entities_over_decades_are_counted_too() -> None:
    """6.4 million keys by the milliseconds of 55 years would be above 2**63."""
    years = 55 * 365 * 86_400_000
    intervals = Intervals(np.array([0, 6_400_000, 6_400_000]), np.array([0, 0, 5]), np.array([years, 10, years]))
    keys, moments = np.array([0, 6_400_000, 6_400_000, 6_400_000]), np.array([years - 1, 5, 10, years])
    assert intervals.holding(keys, moments).tolist() == [1, 2, 1, 0]
