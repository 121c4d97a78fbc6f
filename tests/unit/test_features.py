"""The features' values, computed by hand."""

from math import exp, isnan, log, nan, sqrt
from zlib import crc32

import pytest

from fraudstream.messages.contracts import BrowseEvent, Item, Transaction
from model.features.columns import FEATURE_NAMES, STATEFUL_COLUMNS
from model.features.observe import observe_browse, observe_transaction
from model.features.profile import (
    MAX_CENTS,
    MAX_KNOWN,
    MAX_PRODUCTS,
    MAX_RECENT,
    Profile,
    encode_profile,
    read_history,
    write_history,
)
from tests.unit.model_events import browse, purchase


def features(profile: Profile, transaction: Transaction) -> dict[str, float]:
    values = observe_transaction(profile, transaction, 1.0)
    assert values is not None
    return dict(zip(STATEFUL_COLUMNS, values, strict=True))


def profile_of(*events: BrowseEvent | Transaction) -> Profile:
    profile = Profile()
    for event in events:
        if isinstance(event, BrowseEvent):
            observe_browse(profile, event)
        else:
            observe_transaction(profile, event, 1.0)
    return profile


def test_the_sums_of_a_customer_stay_within_what_the_state_can_hold() -> None:
    profile = Profile()
    for seconds in range(3):
        observe_transaction(profile, purchase(seconds, amount=1e7), 1e6)
    history = read_history(profile)
    assert history.cents == 3 * 10**15
    history.cents = history.day_cents[0] = MAX_CENTS
    write_history(profile, history)
    observe_transaction(profile, purchase(9, amount=1e7), 1e6)
    assert (read_history(profile).cents, read_history(profile).day_cents) == (MAX_CENTS, [MAX_CENTS])


def test_names_are_unique() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)


def test_session_mix_pace_and_dwell() -> None:
    profile = profile_of(
        browse(0, "search"),
        browse(10, "view_item_list"),
        browse(14, "view_item", product_id="p1"),
        browse(15, "add_to_cart", product_id="p1"),
        browse(16, "remove_from_cart", product_id="p1"),
        browse(20, "add_to_wishlist", product_id="p1"),
        browse(21, "view_promotion"),
        browse(22, "page_view"),
        browse(24, "scroll"),
        browse(30, "begin_checkout"),
        browse(40, "add_payment_info"),
    )
    found = features(profile, purchase(45.5))
    gaps = [10, 4, 1, 1, 4, 1, 1, 2, 6, 10]
    mean = sum(gaps) / 10
    deviation = sqrt(sum(gap * gap for gap in gaps) / 10 - mean**2)
    expected = {
        "direct_checkout": 0,
        "session_events": 11,
        "session_seconds": 45.5,
        "session_page_views": 2,
        "session_searches": 1,
        "session_lists": 1,
        "session_item_views": 1,
        "session_promotion_views": 1,
        "session_cart_changes": 3,
        "session_checkout_steps": 2,
        "session_payment_entries": 1,
        "session_gap_mean": mean,
        "session_gap_variation": deviation / mean,
        "session_gap_min": 1,
        "session_gap_max": 10,
        "session_item_dwell": 1,
        "browse_to_buy": 5.5,
        "session_products_seen": 1,
        "bought_seen_share": 1,
        "session_transactions": 0,
        "session_other_device": 0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_even_clicks_have_no_variation() -> None:
    profile = profile_of(*(browse(2.0 * step) for step in range(6)))
    assert features(profile, purchase(12))["session_gap_variation"] == 0


def test_a_purchase_without_browsing_is_a_direct_checkout() -> None:
    found = features(profile_of(browse(0, session_id="another")), purchase(5))
    assert found["direct_checkout"] == 1
    assert found["session_events"] == 0
    assert isnan(found["browse_to_buy"])


def test_another_device_than_browsed_and_a_second_purchase_in_the_session() -> None:
    profile = profile_of(browse(0), purchase(5))
    found = features(profile, purchase(6, device_id="laptop"))
    assert found["session_other_device"] == 1
    assert found["session_transactions"] == 1


def test_an_unknown_customer_has_no_habits_rather_than_new_things() -> None:
    found = features(Profile(), purchase(0))
    for name in (
        "new_device",
        "new_card",
        "new_place",
        "new_ip_country",
        "transactions_10m",
        "amount_30d",
        "since_last",
    ):
        assert isnan(found[name]), name


def test_windows_count_what_lies_within_them() -> None:
    day = 86_400
    earlier = [-40 * day, -20 * day, -5 * day, -7_200, -3_599, -600, -599]
    profile = profile_of(*(purchase(seconds, amount=2.0**number) for number, seconds in enumerate(earlier)))
    found = features(profile, purchase(0))
    counts = {"10m": 1, "1h": 3, "1d": 4, "7d": 5, "30d": 6}
    sums = {"10m": 64, "1h": 112, "1d": 120, "7d": 124, "30d": 126}
    assert {short: found[f"transactions_{short}"] for short in counts} == counts
    assert {short: found[f"amount_{short}"] for short in sums} == sums
    assert {short: found[f"amount_mean_{short}"] for short in sums} == {
        short: pytest.approx(sums[short] / counts[short]) for short in sums
    }
    assert {short: found[f"amount_max_{short}"] for short in sums} == dict.fromkeys(sums, 64)
    assert found["known_transactions"] == 7
    assert found["known_days"] == 40


def test_amount_against_the_customers_own_habit() -> None:
    profile = profile_of(purchase(0, amount=50.0), purchase(100, amount=200.0, promo_code="TEN"))
    found = features(profile, purchase(400, amount=400.0, promo_code="TEN", promo_amount=100.0, shipping_fee=20.0))
    mean, spread = (log(50) + log(200)) / 2, sqrt(2 * (log(2) ** 2))
    expected = {
        "amount_to_mean": 3.2,
        "amount_to_max": 2.0,
        "amount_deviation": (log(400) - mean) / spread,
        "promo_share": 0.5,
        "uses_promo": 1,
        "promo_to_amount": 0.2,
        "shipping_to_amount": 0.05,
        "since_last": 300,
        "pace_ratio": 3.0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_clicks_against_the_customers_own_pace() -> None:
    profile = profile_of(
        *(browse(4.0 * step) for step in range(3)), purchase(20),
        *(browse(100 + 9.0 * step, session_id="s2") for step in range(3)), purchase(150, session_id="s2"),
        *(browse(200 + 3.0 * step, session_id="s3") for step in range(3)),
    )  # fmt: skip
    assert features(profile, purchase(220, session_id="s3"))["pace_to_habit"] == pytest.approx(
        3 / exp((log(4) + log(9)) / 2)
    )


def test_distance_and_speed_since_the_last_shipping_place() -> None:
    found = features(profile_of(purchase(0)), purchase(7_200, shipping_latitude=48.8566, shipping_longitude=2.3522))
    assert found["km_since_last"] == pytest.approx(878, abs=2)  # Berlin to Paris
    assert found["kmh_since_last"] == pytest.approx(439, abs=1)


def test_what_is_new_and_how_known_the_rest_is() -> None:
    profile = profile_of(purchase(0), purchase(3_600, device_id="laptop", ip_country="FR"))
    found = features(profile, purchase(7_200, card_token="other", shipping_latitude=52.6, shipping_country="PL"))
    expected = {
        "new_device": 0, "new_card": 1, "new_place": 1, "new_shipping_country": 1, "new_ip_country": 0,
        "device_hours": 2, "card_hours": nan, "place_hours": nan,
        "device_share": 0.5, "card_share": 0, "place_share": 0,
        "devices_1h": 1, "cards_1h": 1, "places_1h": 1, "devices_1d": 2, "cards_1d": 2, "places_1d": 2,
        "ip_differs_from_shipping": 1,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_windows_have_maxima_of_their_own_and_empty_ones_none() -> None:
    day = 86_400
    amounts = {-20 * day: 900.0, -5 * day: 70.0, -7_200: 300.0, -7_100: 20.0, -900: 5.0}
    found = features(
        profile_of(*(purchase(seconds, amount=amount) for seconds, amount in amounts.items())), purchase(0)
    )
    maxima = {"10m": nan, "1h": 5, "1d": 300, "7d": 300, "30d": 900}
    means = {"10m": nan, "1h": 5, "1d": 325 / 3, "7d": 395 / 4, "30d": 1_295 / 5}
    assert {short: found[f"amount_max_{short}"] for short in maxima} == pytest.approx(maxima, nan_ok=True)
    assert {short: found[f"amount_mean_{short}"] for short in means} == pytest.approx(means, nan_ok=True)


def test_a_history_without_daily_maxima_gets_the_days_means() -> None:
    """As earlier versions of the platform kept it."""
    profile = profile_of(purchase(-3 * 86_400, amount=10.0), purchase(-3 * 86_400 + 60, amount=30.0))
    history = read_history(profile)
    history.day_maxima = []
    write_history(profile, history)
    assert features(profile, purchase(0))["amount_max_7d"] == 20


def test_the_last_different_products_are_known_most_recent_last() -> None:
    bought = [*range(MAX_PRODUCTS + 2), 5]
    profile = profile_of(
        *(
            purchase(
                number, transaction_id=f"t{number}", items=[Item(product_id=f"p{product}", quantity=1, unit_price=1)]
            )
            for number, product in enumerate(bought)
        )
    )
    found = features(profile, purchase(900))
    known = [found[f"known_product_{number}"] for number in range(MAX_PRODUCTS)]
    expected = [product for product in range(2, MAX_PRODUCTS + 2) if product != 5] + [5]
    assert known == [crc32(f"p{product}".encode()) for product in expected]
    assert isnan(features(profile_of(purchase(0)), purchase(1))["known_product_1"])


def test_items_and_hour() -> None:
    items = [Item(product_id="p1", quantity=3, unit_price=10.0), Item(product_id="p2", quantity=1, unit_price=50.0)]
    found = features(profile_of(browse(0, "view_item", product_id="p1")), purchase(1_800, items=items))
    expected = {
        "item_lines": 2, "item_quantity": 4, "quantity_max": 3, "unit_price_mean": 20, "unit_price_max": 50,
        "bought_seen_share": 0.5, "hour_of_day": 12.5, "payment_method": 0, "amount": 100,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_a_repeated_transaction_leaves_the_profile_untouched() -> None:
    profile = profile_of(browse(0), purchase(5), browse(6, session_id="s2"), purchase(8, session_id="s2"))
    before = encode_profile(profile)
    assert observe_transaction(profile, purchase(5, amount=7.0), 1.0) is None
    assert encode_profile(profile) == before


def test_the_last_32_transaction_ids_are_recognised() -> None:
    profile = profile_of(*(purchase(float(number)) for number in range(MAX_RECENT + 1)))
    assert observe_transaction(profile, purchase(1.0), 1.0) is None
    assert observe_transaction(profile, purchase(0.0), 1.0) is not None


def test_a_burst_of_new_cards_does_not_push_out_the_customers_own() -> None:
    profile = profile_of(purchase(0), purchase(1))
    for number in range(2 * MAX_KNOWN):
        observe_transaction(profile, purchase(10.0 + number, card_token=f"stolen{number}"), 1.0)
    assert features(profile, purchase(60, transaction_id="own"))["new_card"] == 0
