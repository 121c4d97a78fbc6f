"""The desk's pictures, as numbers for a template to draw as SVG."""

import math
from dataclasses import dataclass
from datetime import UTC

from desk.database import Row

WIDTH, HEIGHT = 560, 130
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 20


@dataclass(frozen=True)
class Dot:
    """A transaction in the picture of amounts."""

    x: float
    y: float
    kind: str
    """`now`, `fraud`, `flagged` or `usual`."""
    told: str


@dataclass(frozen=True)
class Amounts:
    """The customer's amounts over time, with the lines of the scale as height and amount."""

    dots: list[Dot]
    lines: list[tuple[float, str]]
    first: str
    last: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


def amounts(transaction: Row, past: list[Row]) -> Amounts | None:
    """A picture of the transaction's amount against its customer's; None when there is nothing to compare."""
    if transaction["exchange_rate"] is None:
        return None
    now = {**transaction, "shop_amount": float(transaction["amount"] * transaction["exchange_rate"])}
    priced = [one for one in past if one["shop_amount"] is not None]
    if not priced:
        return None
    everything = [*reversed(priced), now]
    start, end = everything[0]["event_time"], now["event_time"]
    span = max((end - start).total_seconds(), 1.0)
    top = nice_top(max(one["shop_amount"] for one in everything))

    def height(amount: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - amount / top), 1)

    dots = [
        Dot(
            round(LEFT + 6 + (WIDTH - LEFT - RIGHT - 12) * (one["event_time"] - start).total_seconds() / span, 1),
            height(one["shop_amount"]),
            "now" if one is now else _kind(one),
            f"{one['shop_amount']:,.2f} on {one['event_time'].astimezone(UTC):%d %b %Y %H:%M}",
        )
        for one in everything
    ]
    lines = [(height(amount), f"{amount:,.0f}") for amount in (0.0, top / 2, top)]
    first, last = start.astimezone(UTC), end.astimezone(UTC)
    form = "%d %b %Y" if first.date() < last.date() else "%H:%M"
    return Amounts(dots, lines, f"{first:{form}}", f"{last:{form}}")


def nice_top(amount: float) -> float:
    """The end of a scale: the smallest 1, 2 or 5 times a power of ten that isn't below."""
    power = 10.0 ** math.floor(math.log10(max(amount, 1.0)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= amount)


def _kind(one: Row) -> str:
    if one["labelled_fraud"]:
        return "fraud"
    return "flagged" if one["is_fraud"] else "usual"
