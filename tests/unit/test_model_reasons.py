"""The sentences of reasons."""

import re
from itertools import product
from math import inf, nan

import pytest

from fraudstream.messages.contracts import PAYMENT_METHODS
from model.features.columns import FEATURE_NAMES, SPECS
from model.serving.example import EXAMPLE
from model.serving.reasons import FACTS, Facts, sentence

#: What no person would write: remains of a template, of Python's own words, or of a number that was rounded away.
_NO_WORDS = re.compile(r"[{}\[\]|~]|\b(nan|inf|None|usual: unknown)\b|(?<![\d.,])-?0\.0+(?!\d)|  |\b1 \w+s\b(?! )")
#: Units of which a percentage is taken; all others are counts of something, or have a unit.
_PERCENT = {"ratio", "share"}
#: Shares of things that are counted, which the sentences count.
_COUNTED_SHARES = {"bought_seen_share", "promo_share", "device_share", "card_share", "place_share", "price_rank_mean"}
_LARGEST = {"share": 1.0, "hour": 23.99, "method": float(len(PAYMENT_METHODS)), "flag": 1.0}

EARLIER, ONE_EARLIER = {"known_transactions": 12.0}, {"known_transactions": 1.0}
AMOUNT = {"amount": 312.4, "amount_to_mean": 8.9257, "amount_to_max": 3.905}
PACE = {"pace_ratio": 180 / 864_000}


def told(name: str, value: float, usual: float | None = None, currency: str = "EUR", **others: float) -> str:
    """The sentence of `name`; features that aren't given aren't known."""
    values = dict.fromkeys(FEATURE_NAMES, nan) | others | {name: value}
    return sentence(name, Facts(values, {name: usual}, currency))


@pytest.mark.parametrize(
    ("name", "value", "usual", "others", "text"),
    [
        ("transactions_1h", 4.0, 1.0, {}, "4 earlier purchases in the hour before; usual: 1"),
        ("transactions_1h", 1.0, 1.5, {}, "1 earlier purchase in the hour before; usual: 1 or 2"),
        ("new_device", 1.0, 0.0, {}, "first purchase from this device"),
        ("new_card", 1.0, 0.0, EARLIER, "first purchase with this card; 12 earlier ones without it"),
        ("new_card", 1.0, 0.0, ONE_EARLIER, "first purchase with this card; 1 earlier one without it"),
        ("new_device", 0.0, 0.0, {"device_hours": 50.0}, "device known of this customer, first used 2.1 days before"),
        ("card_share", 0.0, 0.8, EARLIER, "used this card for none of their 12 earlier purchases"),
        ("card_share", 1.0, 0.8, ONE_EARLIER, "used this card for their only earlier purchase"),
        ("device_share", 0.25, 0.8, EARLIER, "used this device for 3 of their 12 earlier purchases"),
        ("promo_share", 1.0, 0.2, EARLIER, "used a promotion for all their 12 earlier purchases"),
        ("since_last", 0.25, 200_000.0, {}, "250 milliseconds after their last purchase; usual: 2.3 days"),
        ("since_last", 180.0, 9.0, PACE, "3 minutes after their last purchase; on average, 10 days lie between them"),
        ("since_last", 0.0, None, {}, "less than a second after their last purchase"),
        ("amount", 1234.5, 80.0, {}, "1,234.50 EUR charged; usual: 80.00 EUR"),
        (
            "amount_to_mean",
            8.9257,
            0.7,
            AMOUNT,
            "312.40 EUR; their average order is 35.00 EUR (most so far: 80.00 EUR)",
        ),
        ("amount_to_mean", 0.004, 0.7, {}, "the amount is less than 1% of their average order"),
        ("amount_to_max", 3.905, 0.7, AMOUNT, "312.40 EUR; their largest order so far is 80.00 EUR"),
        ("amount_deviation", 3.2, 0.0, {"amount": 9.0}, "9.00 EUR is far above what they usually spend"),
        ("payment_method", 3.0, 0.0, {}, "paid by gift card; usual: card"),
        ("payment_method", 5.0, 0.0, {}, "paid by another method; usual: card"),
        ("hour_of_day", 4.25, None, {}, "bought at 04:15 in the morning (UTC)"),
        ("account_days", 180 / 86_400, 1500.0, {}, "bought 3 minutes after signing up; usual: 4.1 years"),
        ("session_gap_variation", 0.004, None, {}, "clicks came as regularly as a machine's"),
        ("session_payment_entries", 5.0, 1.0, {}, "payment details entered 5 times; usual: 1"),
        ("session_searches", 0.0, 1.0, {}, "bought without a search; usual: 1"),
        ("bought_seen_share", 0.5, 1.0, {"item_lines": 2}, "had looked at 1 of the 2 products bought"),
        ("price_rank_mean", 0.97, None, {}, "the products are among the most expensive of their category"),
    ],
)
def test_a_sentence_reads_as_a_person_would_write_it(
    name: str, value: float, usual: float | None, others: dict[str, float], text: str
) -> None:
    assert told(name, value, usual, **others) == text


@pytest.mark.parametrize(
    ("currency", "text"),
    [("JPY", "1,235 JPY charged"), ("KWD", "1,234.560 KWD charged"), ("EUR", "1,234.56 EUR charged")],
)
def test_money_has_its_currency_s_minor_units(currency: str, text: str) -> None:
    assert told("amount", 1234.56, currency=currency) == text


_VALUES = (0.0, 1e-9, 0.004, 0.4, 0.97, 1.0, 1.5, 2.0, 3.7, 99.96, 5000.0, 1e9)


@pytest.mark.parametrize("name", SPECS)
def test_every_sentence_is_fit_to_read(name: str) -> None:
    """Whatever the value (a reason's is always known), what is usual, and what of the other features is known."""
    unit = SPECS[name].unit
    for value, usual, others in product(_VALUES, (None, nan, *_VALUES), (nan, inf, 0.0, 1.0, 12.0, 1e9)):
        own = float(value > 0) if unit == "flag" else min(value, _LARGEST.get(unit, 1e9))
        facts = Facts(dict.fromkeys(SPECS, others) | {name: own}, {name: usual}, "EUR")
        text = sentence(name, facts)
        assert len(text) > 10
        assert not _NO_WORDS.search(text), text
        if unit not in _PERCENT or name in _COUNTED_SHARES:
            assert "%" not in text


@pytest.mark.parametrize("name", SPECS)
def test_what_is_not_known_is_not_told(name: str) -> None:
    """Alone, a feature's sentence has no number but its own, and those of its words."""
    allowed = {"10", "7", "30", "2", "3"}  # windows, the steps of a checkout, and a terminal's latest hours
    assert set(re.findall(r"\d+", told(name, 0.0))) <= allowed | {"0", "00", "1"}, told(name, 0.0)


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: spec.name)
def test_sentences_name_features_that_there_are(spec: object) -> None:
    named = re.findall(r"\{(\w+)", f"{spec.template} {spec.otherwise}")  # type: ignore[attr-defined]
    assert set(named) <= FACTS | set(SPECS)


def test_the_example_of_the_docs_knows_every_feature() -> None:
    assert set(EXAMPLE.values) == set(SPECS)
