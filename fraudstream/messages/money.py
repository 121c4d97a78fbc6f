"""Amounts of money as they are kept: in whole minor units of their currency."""

from decimal import ROUND_HALF_UP, Decimal

#: Digits after the point, by ISO 4217, of each currency whose minor unit isn't a hundredth.
MINOR_UNITS = (
    dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0)
    | dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0)
    | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)
    | dict.fromkeys(("CLF", "UYW"), 4)
)
MOST_DIGITS = 4
_HUNDREDTHS = 2
_UNITS = tuple(Decimal(1).scaleb(-digits) for digits in range(MOST_DIGITS + 1))


def in_minor_units(amount: float, currency: str) -> Decimal:
    """`amount`, rounded half up to whole minor units of `currency`."""
    return Decimal(repr(amount)).quantize(_UNITS[MINOR_UNITS.get(currency, _HUNDREDTHS)], ROUND_HALF_UP)
