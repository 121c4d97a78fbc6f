"""The sentences of reasons."""

import pytest

from model.features.columns import SPECS
from model.serving.reasons import sentence


@pytest.mark.parametrize(
    ("name", "value", "usual", "text"),
    [
        ("transactions_1h", 4.0, 1.0, "4 earlier transactions in 1 h; usual: 1"),
        ("new_device", 1.0, 0.0, "device new to this customer"),
        ("new_device", 0.0, 0.0, "known device"),
        ("since_last", 0.25, 200_000.0, "250 ms since the last transaction; usual: 2.31 days"),
        ("since_last", 150.0, None, "2.5 min since the last transaction; usual: unknown"),
        ("amount", 1234.5, 80.0, "amount 1,234.50; usual: 80.00"),
        ("payment_method", 3.0, 0.0, "paid by gift card; usual: card"),
        ("payment_method", 5.0, 0.0, "paid by another method; usual: card"),
        ("hour_of_day", 3.25, 15.0, "bought at 03:15 UTC; usual: 15:00 UTC"),
        ("kmh_since_last", 12_345.6, 0.0, "12,346 km/h from the last shipping place to this one; usual: 0 km/h"),
        ("session_gap_variation", 0.004, 0.9, "regularity of clicks under 0.01 (0 is a machine's); usual: 0.9"),
        ("bought_seen_share", 0.5, 1.0, "50% of the bought products were looked at; usual: 100%"),
    ],
)
def test_sentence(name: str, value: float, usual: float | None, text: str) -> None:
    assert sentence(name, value, usual) == text


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: spec.name)
@pytest.mark.parametrize("value", [0.0, 1.0, 3.7, -2.5, 1e9])
def test_every_feature_has_a_sentence_for_any_value(spec: object, value: float) -> None:
    name = spec.name  # type: ignore[attr-defined]
    if SPECS[name].unit != "method" or value in (0.0, 1.0, 3.7):
        text = sentence(name, value, 1.0)
        assert text
        assert "{" not in text
