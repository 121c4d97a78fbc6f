"""Amounts keep every minor unit of their currency, and no more."""

from decimal import Decimal

import pytest

from fraudstream.messages.money import in_minor_units


@pytest.mark.parametrize(
    ("amount", "currency", "kept"),
    [
        (12.345, "KWD", "12.345"),
        (12.3455, "KWD", "12.346"),
        (12.345, "EUR", "12.35"),  # half up, of the decimal as sent and not of the float below it
        (0.1 + 0.2, "USD", "0.30"),
        (1480.5, "JPY", "1481"),
        (1.23456, "CLF", "1.2346"),
        (1e7, "ISK", "10000000"),
        (5e-7, "EUR", "0.00"),
        (3.999, "XYZ", "4.00"),  # not in ISO 4217
    ],
)
def test_minor_units_follow_iso_4217(amount: float, currency: str, kept: str) -> None:
    assert str(in_minor_units(amount, currency)) == str(Decimal(kept))
