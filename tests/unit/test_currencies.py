"""Exchange rates: the file that a shop keeps, and the rate at a time."""

from datetime import date
from decimal import Decimal
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.static_data.currencies import CurrencyRates, CurrencyRatesError, Rate, read_rates
from fraudstream.static_data.entities import DAY_MS

NEW_YEAR = 20_454 * DAY_MS  # 2026-01-01
RATES = [
    Rate("JPY", date(2026, 1, 2), Decimal("0.0062")),
    Rate("JPY", date(2026, 1, 1), Decimal("0.0061")),
    Rate("KWD", date(1969, 12, 31), Decimal("2.8")),
]


def written(folder: Path, *lines: str, header: str = "currency,valid_from,rate") -> Path:
    path = folder / "rates.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_event_time_decides_which_rate(tmp_path: Path) -> None:
    rates = CurrencyRates.of("EUR", RATES)
    moments = (NEW_YEAR - 1, NEW_YEAR, NEW_YEAR + DAY_MS - 1, NEW_YEAR + DAY_MS, NEW_YEAR + 900 * DAY_MS)
    unknown, *found = (rates.at("JPY", moment) for moment in moments)
    assert isnan(unknown)
    assert found == [0.0061, 0.0061, 0.0062, 0.0062]
    assert (rates.at("EUR", 0), rates.at("KWD", 0)) == (1.0, 2.8)
    assert isnan(rates.at("USD", NEW_YEAR))


@given(st.lists(st.tuples(st.sampled_from(["EUR", "JPY", "KWD", "USD"]), st.integers(-1, 3)), max_size=20))
def test_a_column_of_rates_is_each_row_s_rate(rows: list[tuple[str, int]]) -> None:
    rates = CurrencyRates.of("EUR", RATES)
    times = [NEW_YEAR + day * DAY_MS for _, day in rows]
    expected = [rates.at(currency, time) for (currency, _), time in zip(rows, times, strict=True)]
    found = rates.column(np.array([currency for currency, _ in rows], object), np.array(times, np.int64))
    np.testing.assert_array_equal(found, np.array(expected, float))


def test_a_file_is_read_as_people_write_it(tmp_path: Path) -> None:
    path = written(
        tmp_path, "JPY, 2026-01-01, 0.00610", "", "KWD,2026-01-01,3", header="\ufeffcurrency,valid_from,rate"
    )
    assert read_rates(path, "EUR") == [
        Rate("JPY", date(2026, 1, 1), Decimal("0.0061")),
        Rate("KWD", date(2026, 1, 1), Decimal(3)),
    ]
    assert read_rates(written(tmp_path), "EUR") == []


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["jpy,2026-01-01,1"], r"line 2: currency 'jpy' isn't a code of ISO 4217"),
        (["EUR,2026-01-01,1"], r"line 2: EUR is the shop currency, whose rate is 1: leave the line out"),
        (["JPY,2026-01-01,0.006", "JPY,01.02.2026,1"], r"line 3: valid_from '01.02.2026' isn't a day"),
        (["JPY,2026-02-30,1"], r"line 2: valid_from '2026-02-30' isn't a day"),
        (["JPY,2026-01-01,0,0061"], r"line 2: has 4 values, .* written 0.0061, with a point"),
        (["JPY,2026-01-01"], r"line 2: has 2 values"),
        *((["JPY,2026-01-01," + text], "isn't a number") for text in ("", "-1", "nan", "1e-3", "1_0", "٣")),
        (["JPY,2026-01-01,0"], r"rate 0 isn't from 0.000000001 to 1000000 units"),
        (["JPY,2026-01-01,1000001"], r"rate 1000001 isn't from"),
        (["JPY,2026-01-01,0.1234567890123456"], r"more than 15 digits"),
        (["JPY,2026-01-01,1", "JPY,2026-01-01,2"], r"line 3: JPY from 2026-01-01 is already in line 2"),
    ],
)
def test_a_wrong_line_is_refused_by_its_number(tmp_path: Path, lines: list[str], told: str) -> None:
    with pytest.raises(CurrencyRatesError, match=told):
        read_rates(written(tmp_path, *lines), "EUR")


def test_a_file_that_is_no_file_of_rates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CurrencyRatesError, match=r"No such file"):
        read_rates(tmp_path / "none.csv", "EUR")
    with pytest.raises(CurrencyRatesError, match=r"begins with 'currency;valid_from;rate'; its first line must be"):
        read_rates(written(tmp_path, header="currency;valid_from;rate"), "EUR")
    path = written(tmp_path)
    path.write_bytes("currency,valid_from,rate\nJPY,2026-01-01,1 €".encode("cp1252"))
    with pytest.raises(CurrencyRatesError, match=r"no CSV in UTF-8"):
        read_rates(path, "EUR")
