"""Quantities in words: counts, lengths of time, money, shares and places on a scale, as a person would write them."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from fraudstream.messages.contracts import PAYMENT_METHODS
from fraudstream.messages.money import MINOR_UNITS
from model.durations import DAY_SECONDS, HOUR_SECONDS
from model.features.profile import MAX_GAP_MS
from model.features.spec import Unit

_LENGTHS = (
    (365.25 * DAY_SECONDS, "year"),
    (365.25 / 12 * DAY_SECONDS, "month"),
    (DAY_SECONDS, "day"),
    (HOUR_SECONDS, "hour"),
    (60, "minute"),
)
#: The hours at which each part of a day ends.
_PARTS_OF_DAY = ((4, "at night"), (12, "in the morning"), (18, "in the afternoon"), (22, "in the evening"))
_OTHER_METHOD = "another method"
_METHODS = {"paypal": "PayPal"}


class Quantity(NamedTuple):
    """A value in its unit."""

    value: float
    unit: Unit


def told(quantity: Quantity, how: str, currency: str) -> str:
    """The quantity in words: `how` is the noun that is counted, or `~` and a scale; money is in `currency`.

    A noun whose plural isn't its singular with an s is given with it, as `search/searches`.
    """
    value, unit = quantity
    if how.startswith("~"):
        return _SCALES[how[1:]](value)
    if unit == "count" and how:
        return counted(round(value), how)
    if unit == "money":
        return money(value, currency)
    return _FORMATS[unit](value)


def counted(number: int, noun: str) -> str:
    """A number of things: `no purchases`, `1 purchase`, `2 purchases`."""
    singular, _, plural = noun.partition("/")
    if number == 1:
        return f"1 {singular}"
    return f"{f'{number:,}' if number else 'no'} {plural or f'{singular}s'}"


def portion(part: int, whole: int, noun: str, whose: str) -> str:
    """A part of counted things: `none of their earlier purchases`, `1 of their 2 earlier purchases`, `all 2 …`."""
    if not part:
        return f"none of {whose} {noun}s" if whole == 1 else f"none of {whose} {whole:,} {noun}s"
    if part < whole:
        return f"{part:,} of {whose} {whole:,} {noun}s"
    return f"{whose} only {noun}" if whole == 1 else f"all {whose} {whole:,} {noun}s"


def money(amount: float, currency: str) -> str:
    """An amount with its currency, such as `1,234.50 EUR`."""
    digits = MINOR_UNITS.get(currency, 2)
    least = 10.0**-digits
    if 0 < abs(amount) < least / 2:
        return f"less than {least:.{digits}f} {currency}".rstrip()
    return f"{amount:,.{digits if amount else 0}f} {currency}".rstrip()


def duration(seconds: float) -> str:
    """A length of time, such as `3 minutes`."""
    if seconds < 0.0005:
        return "less than a second"
    if seconds < 0.9995:
        return counted(round(seconds * 1000), "millisecond")
    for size, unit in _LENGTHS:
        if seconds >= 2 * size:
            return f"{_short(seconds / size)} {unit}s"
    number = _short(seconds)
    return "1 second" if number == "1" else f"{number} seconds"


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0") if number < 9.95 else f"{number:,.0f}"


def _count(value: float) -> str:
    """A count by itself; a median may lie between two."""
    below = int(value)
    if value - below == 0.5:
        return f"{below or 'none'} or {below + 1}"
    return f"{round(value):,}" if round(value) else "none"


def _ratio(value: float) -> str:
    """A ratio, so that what it is to can follow: `3.2 times`, `40% of`."""
    if value < 0.01:
        return "less than 1% of"
    if value < 0.95:
        return f"{value:.0%} of"
    if value < 1.05:
        return "about the same as"
    return "more than 1,000 times" if value > 1000 else f"{_short(value)} times"


def _share(value: float) -> str:
    if value < 0.01:
        return "less than 1%" if value > 0 else "nothing"
    return "more than 1,000%" if value > 10 else f"{value:.0%}"


def _distance(value: float) -> str:
    return f"{value:,.0f} km" if value >= 1 else "less than 1 km"


def _clock(hour: float) -> str:
    minutes = int(hour * 60) % 1440
    part = next((words for end, words in _PARTS_OF_DAY if minutes < 60 * end), "at night")
    return f"{minutes // 60:02d}:{minutes % 60:02d} {part} (UTC)"


def _method(index: float) -> str:
    if not 0 <= index < len(PAYMENT_METHODS):
        return _OTHER_METHOD
    name = PAYMENT_METHODS[int(index)]
    return _METHODS.get(name, name.replace("_", " "))


_FORMATS: Mapping[Unit, Callable[[float], str]] = {
    "count": _count,
    "seconds": duration,
    "hours": lambda value: duration(value * HOUR_SECONDS),
    "days": lambda value: duration(value * DAY_SECONDS),
    "ratio": _ratio,
    "share": _share,
    "deviations": lambda value: f"{value:,.1f}",
    "km": _distance,
    "km/h": lambda value: f"{_distance(value)}/h",
    "hour": _clock,
    "flag": lambda value: "yes" if value else "no",
    "method": _method,
}


def _scale(*steps: tuple[float, str], last: str) -> Callable[[float], str]:
    """Words for a value: those of the first step that it is below, else the last."""
    return lambda value: next((words for end, words in steps if value < end), last)


def _pause(seconds: float) -> str:
    """A pause, which isn't measured beyond half an hour."""
    longest = MAX_GAP_MS / 1000
    return duration(seconds) if seconds < longest else f"{duration(longest)} or more"


_SCALES: Mapping[str, Callable[[float], str]] = {
    "part": lambda value: "none" if value <= 0 else "all" if value >= 1 else "some",
    "pause": _pause,
    # 1 is chance (a Poisson process); people vary about as much.
    "regularity": _scale(
        (0.1, "as regularly as a machine's"),
        (0.4, "very regularly"),
        (0.7, "rather regularly"),
        (1.5, "irregularly, as a person's"),
        last="very irregularly",
    ),
    "deviation": _scale(
        (-2, "far below"), (-1, "below"), (1, "about"), (2, "above"), (3, "well above"), last="far above"
    ),
    "price": _scale(
        (0.1, "among the cheapest of their category"),
        (0.4, "cheaper than most of their category"),
        (0.6, "of a middling price in their category"),
        (0.9, "more expensive than most of their category"),
        last="among the most expensive of their category",
    ),
}
