"""Exchange rates into the shop currency, as a shop keeps them in a file, and the conversion that everything uses.

The file is CSV with the header `currency,valid_from,rate`: units of the shop currency for one unit of `currency`, from
midnight (UTC) of the day `valid_from` until the next line of that currency. A time before its first line has no rate.
"""

import csv
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from math import nan
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fraudstream.errors import FraudstreamError
from fraudstream.settings import ShopSettings
from fraudstream.static_data.entities import DAY_MS

COLUMNS = ("currency", "valid_from", "rate")
#: So many digits a float keeps, so that the stored rate is the one that features were computed with.
MAX_DIGITS = 15
_SMALLEST, _LARGEST = Decimal("1e-9"), Decimal("1e6")
_CURRENCY = re.compile(r"[A-Z]{3}")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_EPOCH = date(1970, 1, 1)


class CurrencyRatesError(FraudstreamError):
    """The file of exchange rates can't be used; the message names the line."""


class Rate(NamedTuple):
    """A line of the file, and a row of `fraud.currency_rates`."""

    currency: str
    valid_from: date
    rate: Decimal


@dataclass(frozen=True)
class CurrencyRates:
    """The shop currency and the rates into it.

    `series` has for each other currency when its rates begin (epoch milliseconds, ascending), and the rates.
    """

    shop_currency: str
    series: Mapping[str, tuple[list[int], list[float]]] = field(default_factory=dict)

    @classmethod
    def of(cls, shop_currency: str, rates: Iterable[Rate]) -> "CurrencyRates":
        """The rates of the file or the table, in any order."""
        series: dict[str, tuple[list[int], list[float]]] = {}
        for currency, valid_from, rate in sorted(rates):
            begins, values = series.setdefault(currency, ([], []))
            begins.append((valid_from - _EPOCH).days * DAY_MS)
            values.append(float(rate))
        return cls(shop_currency, series)

    def at(self, currency: str | None, time_ms: int) -> float:
        """Units of the shop currency for one of `currency` (None: itself) at `time_ms`; NaN when no rate is known."""
        if currency == self.shop_currency or currency is None:
            return 1.0
        if (known := self.series.get(currency)) is None:
            return nan
        begins, values = known
        index = bisect_right(begins, time_ms)
        return values[index - 1] if index else nan

    def column(self, currencies: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
        """`at` of each currency (str or object [n]) and time (int64 [n]); float64 [n]."""
        missing = np.fromiter((currency is None for currency in currencies.tolist()), bool, len(currencies))
        found = np.where((currencies == self.shop_currency) | missing, 1.0, nan)
        for currency, (begins, values) in self.series.items():
            if (mine := np.flatnonzero(currencies == currency)).size:
                index = np.searchsorted(begins, times_ms[mine], side="right")
                found[mine] = np.array([nan, *values])[index]
        return found


def told_unpriced(count: int, of: int, shop_currency: str) -> str:
    """A warning that `count` of so many transactions have no exchange rate, for people."""
    return (
        f"{count:,} of {of:,} transactions are in a currency without an exchange rate to {shop_currency}: their "
        "amounts count in no sum, and what features make of them is unknown (FRAUDSTREAM_SHOP__CURRENCY, …_RATES)"
    )


def rates_of(shop: ShopSettings) -> CurrencyRates:
    """The rates that the settings name. Raises CurrencyRatesError."""
    lines = read_rates(shop.currency_rates, shop.currency) if shop.currency_rates else []
    return CurrencyRates.of(shop.currency, lines)


def read_rates(path: Path, shop_currency: str) -> list[Rate]:
    """The lines of a file of rates. Raises CurrencyRatesError for the first that is wrong."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(_parse(csv.reader(file), path, shop_currency))
    except OSError as error:
        raise CurrencyRatesError(f"can't read the exchange rates: {error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CurrencyRatesError(f"the exchange rates in {path} are no CSV in UTF-8: {error}") from error


def _parse(lines: Iterator[list[str]], path: Path, shop_currency: str) -> Iterator[Rate]:
    header = [name.strip() for name in next(lines, [])]
    if tuple(header) != COLUMNS:
        raise CurrencyRatesError(f"{path} begins with {','.join(header)!r}; its first line must be {','.join(COLUMNS)}")
    seen: dict[tuple[str, date], int] = {}
    for number, values in enumerate(lines, 2):
        if not values:
            continue
        try:
            rate = _rate([value.strip() for value in values], shop_currency)
        except ValueError as error:
            raise CurrencyRatesError(f"{path}, line {number}: {error}") from error
        first = seen.setdefault((rate.currency, rate.valid_from), number)
        if first != number:
            raise CurrencyRatesError(
                f"{path}, line {number}: {rate.currency} from {rate.valid_from} is already in line {first}: keep one"
            )
        yield rate


def _rate(values: list[str], shop_currency: str) -> Rate:
    if len(values) != len(COLUMNS):
        raise ValueError(f"has {len(values)} values, not {','.join(COLUMNS)} (a rate is written 0.0061, with a point)")
    currency, valid_from, rate = values
    if not _CURRENCY.fullmatch(currency):
        raise ValueError(f"currency {currency!r} isn't a code of ISO 4217, such as JPY")
    if currency == shop_currency:
        raise ValueError(f"{currency} is the shop currency, whose rate is 1: leave the line out")
    return Rate(currency, _day(valid_from), _number(rate))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"valid_from {text!r} isn't a day such as 2026-01-31") from error


def _number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"rate {text!r} isn't a number such as 0.0061")
    rate = Decimal(text).normalize()
    if len(rate.as_tuple().digits) > MAX_DIGITS:
        raise ValueError(f"rate {text} has more than {MAX_DIGITS} digits: round it")
    if not _SMALLEST <= rate <= _LARGEST:
        raise ValueError(f"rate {text} isn't from {_SMALLEST:f} to {_LARGEST:f} units of the shop currency")
    return rate
