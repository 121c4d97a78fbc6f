"""Blocks of features: every value stands on a line with its feature's name, and carries the value of that name."""

import ast
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Callable
from math import isnan, log, nan
from zlib import crc32

import pytest

from fraudstream.messages.contracts import BROWSE_EVENT_TYPES, Item
from model.durations import DAY_MS, DAY_SECONDS, HOUR_MS, HOUR_SECONDS
from model.features.columns import FEATURE_NAMES, STATEFUL_SPECS
from model.features.document import features_document
from model.features.familiarity import FAMILIARITY_SPECS, familiarity_values, place_key
from model.features.habits import HABIT_SPECS, habit_values, log_pace
from model.features.profile import NO_AMOUNT, History, Session
from model.features.purchase import PURCHASE_SPECS, purchase_values
from model.features.session import SESSION_SPECS, session_values
from model.features.spec import FeatureSpec
from model.features.windows import WINDOW_SPECS, window_values
from tests.unit.model_events import purchase

Values = Callable[..., list[float]]
BLOCKS: dict[Values, tuple[FeatureSpec, ...]] = {
    session_values: SESSION_SPECS,
    window_values: WINDOW_SPECS,
    habit_values: HABIT_SPECS,
    familiarity_values: FAMILIARITY_SPECS,
    purchase_values: PURCHASE_SPECS,
}
NOON = 20_000 * DAY_SECONDS + 12 * HOUR_SECONDS  # epoch seconds
PHONE, VISA = 1, 2  # hashes


def named(values: list[float], specs: tuple[FeatureSpec, ...]) -> dict[str, float]:
    return dict(zip((spec.name for spec in specs), values, strict=True))


def names_beside_values(function: Values) -> list[str]:
    """The comment on the last line of each value that the function's last `return` lists."""
    source = textwrap.dedent(inspect.getsource(function))
    comments = {
        token.start[0]: token.string.removeprefix("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.FunctionDef)
    returned = body.body[-1]
    assert isinstance(returned, ast.Return)
    assert isinstance(returned.value, ast.List)
    return [comments.get(value.end_lineno or 0, "") for value in returned.value.elts]


def history() -> History:
    """Two purchases: of 10.00 two days and of 30.00 half an hour before NOON, the latter with a promotion."""
    return History(
        transactions=2,
        first=(NOON - 2 * DAY_SECONDS) * 1000,
        last=(NOON - 1_800) * 1000,
        cents=4_000,
        cents_max=3_000,
        log_mean=log(20),
        log_squares=4.0,
        pace_mean=log(2),
        pace_count=1,
        promos=1,
        latitude=52.52,
        longitude=13.41,
        recent_times=[NOON - 2 * DAY_SECONDS, NOON - 1_800],
        recent_cents=[1_000, 3_000],
        days=[19_998, 20_000],
        day_counts=[1, 1],
        day_cents=[1_000, 3_000],
        day_maxima=[1_000, 3_000],
        devices=[PHONE, NOON - 2 * DAY_SECONDS, NOON - 1_800, 2],
        cards=[VISA, NOON - 1_800, NOON - 1_800, 1],
        places=[place_key(52.52, 13.41), NOON - 2 * DAY_SECONDS, NOON - 1_800, 2],
        shipping_countries=["DE"],
        ip_countries=["DE"],
    )


def test_the_blocks_are_all_that_the_stream_computes() -> None:
    assert sum(BLOCKS.values(), ()) == STATEFUL_SPECS


def test_the_document_lists_all_columns_in_their_order() -> None:
    assert tuple(re.findall(r"^\| `(\w+)`", features_document(), re.MULTILINE)) == FEATURE_NAMES


@pytest.mark.parametrize("function", BLOCKS)
def test_every_value_stands_beside_the_name_of_its_feature(function: Values) -> None:
    assert names_beside_values(function) == [spec.name for spec in BLOCKS[function]]


def test_session_values_by_name() -> None:
    events = [number + 1 for number in range(len(BROWSE_EVENT_TYPES))]  # so that no two types are as many
    count = dict(zip(BROWSE_EVENT_TYPES, events, strict=True))
    session = Session(
        "s1", PHONE, started=NOON * 1000, ended=(NOON + 130) * 1000, events=events,
        gap_sum=130_000, gap_squares=130_000**2, gap_min=250, gap_max=9_000, seen=0b1011,
        transactions=2, item_ms=1_000 * count["view_item"],
    )  # fmt: skip
    seen = next(f"p{number}" for number in range(999) if crc32(f"p{number}".encode()) & 63 == 3)
    unseen = next(f"p{number}" for number in range(999) if crc32(f"p{number}".encode()) & 63 == 2)
    items = [Item(product_id=product, quantity=1, unit_price=1.0) for product in (seen, unseen)]
    found = named(session_values(session, purchase(0, items=items), (NOON + 140) * 1000, device=9), SESSION_SPECS)
    mean = 130 / (sum(events) - 1)
    assert found == pytest.approx(
        {
            "direct_checkout": 0,
            "session_events": sum(events),
            "session_seconds": 140,
            "session_page_views": count["page_view"] + count["scroll"],
            "session_searches": count["search"],
            "session_lists": count["view_item_list"],
            "session_item_views": count["view_item"],
            "session_promotion_views": count["view_promotion"],
            "session_cart_changes": count["add_to_cart"] + count["remove_from_cart"] + count["add_to_wishlist"],
            "session_checkout_steps": 2,
            "session_payment_entries": count["add_payment_info"],
            "session_gap_mean": mean,
            "session_gap_variation": (130**2 / (sum(events) - 1) - mean**2) ** 0.5 / mean,
            "session_gap_min": 0.25,
            "session_gap_max": 9,
            "session_item_dwell": 1,
            "browse_to_buy": 10,
            "session_products_seen": 3,
            "bought_seen_share": 0.5,
            "session_transactions": 2,
            "session_other_device": 1,
        }
    )


def test_without_a_session_only_the_direct_checkout_is_known() -> None:
    found = named(session_values(None, purchase(0), NOON * 1000, PHONE), SESSION_SPECS)
    known = {name: value for name, value in found.items() if value == value}
    assert known == {"direct_checkout": 1, "session_events": 0}
    found["session_events"] = 5  # a caller's own list, not a shared one
    assert session_values(None, purchase(0), NOON * 1000, PHONE)[1] == 0


def test_window_values_by_name() -> None:
    found = named(window_values(history(), NOON), WINDOW_SPECS)
    expected: dict[str, dict[str, float]] = {
        "transactions": {"10m": 0, "1h": 1, "1d": 1, "7d": 2, "30d": 2},
        "amount": {"10m": 0, "1h": 30, "1d": 30, "7d": 40, "30d": 40},
        "amount_mean": {"10m": nan, "1h": 30, "1d": 30, "7d": 20, "30d": 20},
        "amount_max": {"10m": nan, "1h": 30, "1d": 30, "7d": 30, "30d": 30},
    }
    flat = {f"{name}_{window}": value for name, values in expected.items() for window, value in values.items()}
    assert found == pytest.approx(flat, nan_ok=True)


def test_habit_values_by_name() -> None:
    north = purchase(0, shipping_latitude=53.52)  # one degree, 111.195 km, north of the last place
    found = named(habit_values(history(), north, NOON * 1000, 4_000, log(6)), HABIT_SPECS)
    assert found == pytest.approx(
        {
            "known_transactions": 2,
            "known_days": 2,
            "since_last": 1_800,
            "pace_ratio": 1_800 / (2 * DAY_SECONDS - 1_800),
            "amount_to_mean": 2,
            "amount_to_max": 40 / 30,
            "amount_deviation": log(2) / 2,
            "pace_to_habit": 3,
            "promo_share": 0.5,
            "km_since_last": 111.195,
            "kmh_since_last": 222.39,
            "amount_to_median": 4,
            "amounts_below": 1,
            "largest_to_mean_14d": 1.5,
            "unusual_days_14d": 0,
        },
        rel=1e-5,
    )


def test_amounts_against_the_last_ones() -> None:
    """The median is the lower of two; what has no amount counts nowhere, and a day of two weeks ago not either."""
    known = history()
    known.transactions, known.unpriced, known.cents = 7, 1, 6_000
    known.recent_cents = [1_000, 500, NO_AMOUNT, 2_700, 1_500, 200, 100]
    known.days, known.day_maxima = [19_986, 19_987, 20_000], [2_800, 2_700, 1_500]
    found = named(habit_values(known, purchase(0), NOON * 1000, 1_500, nan), HABIT_SPECS)
    assert found["amount_to_median"] == 1_500 / 500
    assert found["amounts_below"] == 4 / 6
    assert (found["largest_to_mean_14d"], found["unusual_days_14d"]) == (2.7, 1)
    known.recent_cents, known.unpriced = [NO_AMOUNT] * 7, 7
    unpriced = named(habit_values(known, purchase(0), NOON * 1000, 1_500, nan), HABIT_SPECS)
    assert all(isnan(value) for value in list(unpriced.values())[-4:])


def test_pace_needs_two_clicks() -> None:
    one = Session("s1", PHONE, 0, 0, [1])
    two = Session("s1", PHONE, 0, 4_000, [2], gap_sum=4_000)
    assert [log_pace(None), log_pace(one), log_pace(two)] == pytest.approx([nan, nan, log(4)], nan_ok=True)


def test_familiarity_values_by_name() -> None:
    bought = purchase(0, shipping_country="PL", payment_method="paypal")
    elsewhere = place_key(53.52, 13.41)
    found = named(familiarity_values(history(), bought, NOON, PHONE, None, elsewhere), FAMILIARITY_SPECS)
    assert found == pytest.approx(
        {
            "new_device": 0, "new_card": nan, "new_place": 1, "new_shipping_country": 1, "new_ip_country": 0,
            "device_hours": 48, "card_hours": nan, "place_hours": nan,
            "device_share": 1, "card_share": nan, "place_share": 0,
            "devices_1h": 1, "cards_1h": 1, "places_1h": 2, "devices_1d": 1, "cards_1d": 1, "places_1d": 2,
        },
        nan_ok=True,
    )  # fmt: skip


def test_purchase_values_by_name() -> None:
    items = [Item(product_id="p1", quantity=3, unit_price=10.0), Item(product_id="p2", quantity=2, unit_price=30.0)]
    bought = purchase(
        0, amount=80.0, items=items, payment_method="gift_card", promo_code="TEN", promo_amount=20.0, shipping_fee=4.0,
        ip_country="FR",
    )  # fmt: skip
    found = named(purchase_values(bought, 5 * DAY_MS + 6 * HOUR_MS, 1.0), PURCHASE_SPECS)
    assert found == pytest.approx(
        {
            "amount": 80,
            "hour_of_day": 6,
            "payment_method": 3,
            "uses_promo": 1,
            "promo_to_amount": 0.2,
            "shipping_to_amount": 0.05,
            "ip_differs_from_shipping": 1,
            "item_lines": 2,
            "item_quantity": 5,
            "quantity_max": 3,
            "unit_price_mean": 18,
            "unit_price_max": 30,
        }
    )


def test_an_unknown_payment_method_is_other() -> None:
    known = named(purchase_values(purchase(0, payment_method="card"), 0, 1.0), PURCHASE_SPECS)
    for method in ("klarna", "gold"):
        found = named(purchase_values(purchase(0, payment_method=method), 0, 1.0), PURCHASE_SPECS)
        assert found == known | {"payment_method": 5}
