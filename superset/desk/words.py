"""How pages say numbers, times and reasons."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from desk.decisions import REASONS, clock

#: ISO 4217's currencies whose minor unit isn't a hundredth.
_MINOR_UNITS = {"JPY": 0, "KRW": 0, "CLP": 0, "ISK": 0, "VND": 0, "KWD": 3, "BHD": 3, "OMR": 3, "TND": 3, "JOD": 3}
_SPLIT = "; usual: "


def money(amount: Decimal | float, currency: str) -> str:
    """An amount with its currency, such as `1,234.50 EUR`."""
    return f"{amount:,.{_MINOR_UNITS.get(currency, 2)}f} {currency}"


def place(one: Mapping[str, Any]) -> str:
    """Where a purchase is shipped to, such as `Lyon, FR`, as far as that is known; empty: it isn't."""
    return ", ".join(filter(None, (one["shipping_city"], one["shipping_country"])))


def age(moment: datetime) -> str:
    """How long ago, such as `12 min`."""
    seconds = max((datetime.now(UTC) - moment).total_seconds(), 0)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def time(moment: datetime) -> str:
    """A moment, UTC."""
    return moment.astimezone(UTC).strftime("%d %b %Y %H:%M:%S")


def reason(given: dict[str, Any]) -> tuple[str, str]:
    """A model's reason in two parts: what it saw, and what is usual in this shop."""
    seen, _, usual = str(given.get("text", "")).partition(_SPLIT)
    return seen[:1].upper() + seen[1:], usual


def headline(reasons: list[dict[str, Any]]) -> str:
    """What a model saw, in a line."""
    return " · ".join(reason(one)[0] for one in reasons)


def because(verdict: str, code: str) -> str:
    """The words of a verdict's reason; empty when none was given."""
    return "" if code == "not_given" else REASONS.get(verdict, {}).get(code, code)


FILTERS = {
    "clock": clock,
    "money": money,
    "place": place,
    "age": age,
    "time": time,
    "reason": reason,
    "headline": headline,
}
