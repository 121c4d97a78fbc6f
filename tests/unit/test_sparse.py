"""Transactions that lack things: what needs them is NaN, all else stays to the bit, and nothing is taken for shared."""

from datetime import timedelta
from math import isnan
from random import Random
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from fraudstream.messages.contracts import BrowseEvent, Label, Topic, Transaction, encode
from fraudstream.messages.refusal import Rejection
from fraudstream.messages.validation import decode
from model.features.columns import ENTITY_FEATURES, STATEFUL_COLUMNS, STATEFUL_FEATURES, STATIC_FEATURES
from model.features.entity_risk import ENTITY_COLUMNS, EntityRisk
from model.features.observe import observe_browse, observe_transaction
from model.features.profile import Profile, decode_profile, encode_profile, read_history
from model.features.session import SESSION_SPECS
from model.features.static import StaticData
from tests.messages import NOW, as_bytes, browse_event, label
from tests.unit.model_events import browse, purchase, random_events

NOW_MS = int(NOW.timestamp() * 1000)
LEAST = {
    "schema_version": 1,
    "transaction_id": "tx-1",
    "customer_id": "c-1",
    "event_time": "2026-03-01T12:00:00.000Z",
    "amount": 42.5,
}
_DEVICE = {"session_other_device", "new_device", "device_hours", "device_share", "devices_1h", "devices_1d"}
_CARD = {"new_card", "card_hours", "card_share", "cards_1h", "cards_1d"}
_PLACE = {"new_place", "place_hours", "place_share", "places_1h", "places_1d", "km_since_last", "kmh_since_last"}
_ITEMS = {"item_lines", "item_quantity", "quantity_max", "unit_price_mean", "unit_price_max", "bought_seen_share"}
_SESSION = {spec.name for spec in SESSION_SPECS} | {"pace_to_habit"}
#: Fields that a transaction lacks, and the features that are NaN for it.
LACKING: dict[tuple[str, ...], set[str]] = {
    ("session_id",): _SESSION,
    ("device_id",): _DEVICE,
    ("card_token",): _CARD,
    ("shipping_latitude",): _PLACE,
    ("shipping_latitude", "shipping_longitude"): _PLACE,
    ("shipping_country",): {"new_shipping_country", "ip_differs_from_shipping"},
    ("ip_country",): {"new_ip_country", "ip_differs_from_shipping"},
    ("items",): _ITEMS,
    ("promo_code", "promo_amount"): {"uses_promo", "promo_to_amount", "promo_share"},
    ("shipping_fee",): {"shipping_to_amount"},
    ("payment_method",): {"payment_method"},
    ("currency",): set(),
    ("shipping_city",): set(),
    ("shop",): set(),
}


def read(topic: Topic, key: bytes, message: dict[str, Any]) -> Any:
    return decode(topic, key, as_bytes(message), NOW_MS, timedelta(minutes=5))


def profile_of_a_customer() -> Profile:
    """Two purchases, from one device to one place, the second after browsing; and more browsing."""
    profile = Profile()
    observe_transaction(profile, purchase(0, promo_code="TEN", promo_amount=5.0), 1.0)
    for number, kind in enumerate(("view_item", "view_item", "begin_checkout")):
        observe_browse(profile, browse(50_000 + 10 * number, kind, session_id="s2", product_id="p1"))
    observe_transaction(profile, purchase(50_100, session_id="s2", shipping_latitude=52.6), 1.0)
    for number, kind in enumerate(("view_item", "add_to_cart", "begin_checkout")):
        observe_browse(profile, browse(51_000 + 10 * number, kind, session_id="s3", product_id="p1"))
    return profile


def features_of(transaction: Transaction, profile: Profile | None = None) -> dict[str, float]:
    values = observe_transaction(profile or profile_of_a_customer(), transaction, 1.0)
    assert values is not None
    return dict(zip(STATEFUL_COLUMNS, values, strict=True))


def bits(values: dict[str, float]) -> dict[str, bytes]:
    return {name: np.float64(value).tobytes() for name, value in values.items()}


@pytest.mark.parametrize("fields", LACKING, ids=" ".join)
def test_what_needs_the_missing_is_nan_and_all_else_stays(fields: tuple[str, ...]) -> None:
    whole = features_of(purchase(51_100, session_id="s3"))
    lacking = features_of(purchase(51_100, **({"session_id": "s3"} | dict.fromkeys(fields))))
    different = {name for name in whole if bits(whole)[name] != bits(lacking)[name]}
    assert different == LACKING[fields] & {name for name in whole if not isnan(whole[name])}
    assert all(isnan(lacking[name]) for name in LACKING[fields])
    assert {name for name in STATEFUL_FEATURES if isnan(whole[name])} == {"amount_mean_10m", "amount_max_10m"}


def test_the_least_that_a_transaction_has_is_its_id_time_customer_and_amount() -> None:
    least = read(Topic.TRANSACTIONS, b"c-1", LEAST)
    assert isinstance(least, Transaction)
    assert read(Topic.TRANSACTIONS, b"c-1", LEAST | dict.fromkeys(("session_id", "items", "device_id"))) == least
    for name in LEAST:
        assert isinstance(read(Topic.TRANSACTIONS, b"c-1", {**LEAST} | {name: None}), Rejection)
    known = {name for name, value in features_of(least, Profile()).items() if not isnan(value)}
    assert known == {"amount", "hour_of_day"}


def test_a_null_is_written_where_releases_before_wrote_one_and_a_new_field_is_left_out() -> None:
    least = read(Topic.TRANSACTIONS, b"c-1", LEAST)
    written = msgspec.json.decode(encode(least))
    assert written["session_id"] is None
    assert "shop" not in written
    assert read(Topic.TRANSACTIONS, b"c-1", written) == least
    named = read(Topic.TRANSACTIONS, b"c-1", LEAST | {"shop": "berlin"})
    assert msgspec.json.decode(encode(named))["shop"] == "berlin"


def test_missing_devices_places_and_cards_are_nobodys() -> None:
    """Not even the customer's own: after three purchases without any, the first device isn't new, and none is known."""
    profile = Profile()
    nothing = dict.fromkeys(("device_id", "card_token", "shipping_latitude", "shipping_country", "ip_country", "items"))
    for number in range(3):
        observe_transaction(profile, purchase(number, payment_method=None, **nothing), 1.0)
    history = read_history(profile)
    assert not any((history.devices, history.cards, history.places, history.shipping_countries, history.products))
    first = features_of(purchase(10), profile)
    unknown = {"new_device", "device_share", "new_place", "place_share", "km_since_last", "new_ip_country", "new_card"}
    assert not [name for name in unknown if not isnan(first[name])]
    assert (first["devices_1h"], first["places_1d"], first["known_transactions"]) == (1, 1, 3)
    second = features_of(purchase(20, device_id="another"), profile)
    assert (second["new_device"], second["km_since_last"], second["devices_1h"]) == (1, 0, 2)


def test_a_purchase_without_a_place_leaves_no_distance_to_the_next() -> None:
    profile = profile_of_a_customer()
    observe_transaction(profile, purchase(60_000, shipping_longitude=None), 1.0)
    assert isnan(features_of(purchase(60_100), profile)["kmh_since_last"])
    assert features_of(purchase(60_200), profile)["kmh_since_last"] == 0


def test_a_method_that_needs_no_card_tells_that_there_was_none() -> None:
    for method, known in (("paypal", True), ("gift_card", True), ("card", False), ("klarna", False), (None, False)):
        found = features_of(purchase(51_100, payment_method=method, card_token=None))
        assert isnan(found["cards_1d"]) is not known


def test_any_purchase_may_lack_anything_and_the_profile_is_kept() -> None:
    random = Random(5)
    optional = [name for name in Transaction.__struct_fields__ if name not in (*LEAST, "schema_version")]
    profile = Profile()
    for event in random_events(3, 400):
        if isinstance(event, BrowseEvent):
            lacks = {name: None for name in ("device_id", "product_id") if random.random() < 0.3}
            kind = random.choice([event.event_type, "quiz", "purchase"])
            observe_browse(profile, msgspec.structs.replace(event, event_type=kind, **lacks))
        else:
            lacks = {name: None for name in optional if random.random() < 0.4}
            values = observe_transaction(profile, msgspec.structs.replace(event, **lacks), 1.0)
            assert values is None or len(values) == len(STATEFUL_COLUMNS)
        encoded = encode_profile(profile)
        profile = decode_profile(encoded)
        assert encode_profile(profile) == encoded


def test_an_unknown_event_type_counts_as_an_event_and_as_nothing_else() -> None:
    told = read(Topic.BROWSE_EVENTS, b"c-1", browse_event(event_type="quiz_finished"))
    assert isinstance(told, BrowseEvent)
    assert told.event_type == "quiz_finished"
    known, other = Profile(), Profile()
    for number in range(3):
        observe_browse(known, browse(number, "page_view"))
        observe_browse(other, browse(number, "page_view" if number == 1 else "quiz_finished"))
    found, expected = features_of(purchase(9), other), features_of(purchase(9), known)
    assert found.pop("session_page_views") == 1
    assert expected.pop("session_page_views") == 3
    assert bits(found) == bits(expected)
    assert len(known.sessions[0].events) == 11


def test_a_browse_event_may_lack_device_source_and_product() -> None:
    fields = ("product_id", "traffic_source", "device_id", "device_type")
    event = read(Topic.BROWSE_EVENTS, b"c-1", {k: v for k, v in browse_event().items() if k not in fields})
    assert isinstance(event, BrowseEvent)
    profile = Profile()
    observe_browse(profile, event)
    assert isnan(features_of(purchase(9, session_id="s-1"), profile)["session_other_device"])


@pytest.mark.parametrize("word", ["Überweisung", "Nachnahme (DHL)", "x" * 64])
def test_words_of_any_shop_keep_their_names(word: str) -> None:
    found = read(Topic.TRANSACTION_LABELS, b"tx-1", label(source=word))
    assert isinstance(found, Label)
    assert found.source == word


@pytest.mark.parametrize("word", ["", " card", "a\tb", "\u200b", "x" * 65, "4111 1111 1111 1111"])
def test_what_is_no_word_is_refused(word: str) -> None:
    assert isinstance(read(Topic.BROWSE_EVENTS, b"c-1", browse_event(event_type=word)), Rejection)
    assert isinstance(read(Topic.TRANSACTIONS, b"c-1", LEAST | {"payment_method": word}), Rejection)


def joined_features(*rows: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Static features and entity risk of transactions of the customer c, who lives in Berlin."""
    time = pd.Timestamp("2026-01-01", tz="UTC")
    customers = pd.DataFrame([["c", time, "DE", 52.5, 13.4, 40]], columns=[
        "customer_id", "registered_at", "home_country", "home_latitude", "home_longitude", "age_years",
    ])  # fmt: skip
    products = pd.DataFrame(
        [["p1", "P", "shoes", 50.0], ["p2", "Q", "shoes", 70.0]],
        columns=["product_id", "name", "category", "list_price"],
    )
    static = StaticData.from_frames(customers, products)
    item = {"product_id": "p1", "quantity": 2, "unit_price": 50.0}
    whole = {
        "customer_id": "c", "amount": 100.0, "exchange_rate": 1.0, "event_time": time, "items": [item],
        "shipping_latitude": 52.6, "shipping_longitude": 13.5, "shipping_country": "DE", "ip_country": "FR",
        "device_id": "d", "card_token": "k",
    }  # fmt: skip
    given = pd.DataFrame([whole | row for row in rows])
    given["items"] = pd.Series([(whole | row)["items"] for row in rows], dtype=object)
    entities = pd.DataFrame(
        [
            ["device", "d", 9, 3, 2, 2, 3],
            ["device", "None", 9, 9, 9, 9, 9],
            ["shipping_address", "526000:135000", 9, 1, 2, 2, 3],
        ],
        columns=list(ENTITY_COLUMNS),
    )
    risk = EntityRisk.from_frame(entities, 1, 1_000, 10)
    known = np.full((len(given), 12), np.nan)
    return (
        pd.DataFrame(static.features(given, known), columns=list(STATIC_FEATURES)),
        pd.DataFrame(risk.features(given, static.categories), columns=list(ENTITY_FEATURES)),
    )


def test_joins_leave_out_what_is_missing_and_change_no_other_row() -> None:
    nothing = dict.fromkeys(
        (
            "items",
            "shipping_latitude",
            "shipping_longitude",
            "shipping_country",
            "ip_country",
            "device_id",
            "card_token",
        )
    )
    static, risk = joined_features({}, nothing, {"device_id": None})
    alone_static, alone_risk = joined_features({})
    assert static.iloc[[0]].equals(alone_static)
    assert risk.iloc[[0]].equals(alone_risk)
    assert set(static.columns[static.iloc[1].notna()]) == {"account_days", "customer_age"}
    assert risk.iloc[1].isna().all()
    lacking = risk.columns[risk.iloc[2].isna()]
    assert set(lacking) == {"device_risk", "device_frauds", "device_customers"}
    only_static, only_risk = joined_features(nothing, nothing)
    assert set(only_static.columns[only_static.iloc[0].notna()]) == {"account_days", "customer_age"}
    assert only_risk.isna().all(axis=None)
