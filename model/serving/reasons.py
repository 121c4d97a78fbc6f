"""Sentences that say, in plain English, what a feature's value means."""

from collections.abc import Callable

from fraudstream.messages.contracts import PAYMENT_METHODS
from model.durations import DAY_SECONDS, HOUR_SECONDS
from model.features.columns import SPECS
from model.features.spec import FeatureSpec, Unit


def sentence(name: str, value: float, usual: float | None) -> str:
    """The sentence of feature `name` for `value`; `usual` is the value of an ordinary legitimate transaction."""
    spec = SPECS[name]
    if spec.unit == "flag":
        return spec.template if value else spec.otherwise
    shown = "unknown" if usual is None else format_value(spec, usual)
    return spec.template.format(value=format_value(spec, value), usual=shown)


def format_value(spec: FeatureSpec, value: float) -> str:
    """`value` in the feature's unit, as a person would write it."""
    return _FORMATS[spec.unit](value)


def _number(value: float) -> str:
    if value and abs(value) < 0.01:
        return "under 0.01" if value > 0 else "above -0.01"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.3g}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for size, unit in ((DAY_SECONDS, "days"), (HOUR_SECONDS, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{_number(seconds / size)} {unit}"
    return f"{_number(seconds)} s"


def _clock(hour: float) -> str:
    minutes = int(hour * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d} UTC"


def _method(index: float) -> str:
    known = index < len(PAYMENT_METHODS)
    return PAYMENT_METHODS[int(index)].replace("_", " ") if known else "another method"


_FORMATS: dict[Unit, Callable[[float], str]] = {
    "count": _number,
    "seconds": _duration,
    "hours": lambda value: _duration(value * HOUR_SECONDS),
    "days": lambda value: _duration(value * DAY_SECONDS),
    "money": lambda value: f"{value:,.2f}",
    "ratio": _number,
    "share": lambda value: f"{value:.0%}",
    "deviations": _number,
    "km": lambda value: f"{_number(value)} km",
    "km/h": lambda value: f"{_number(value)} km/h",
    "hour": _clock,
    "flag": lambda value: "yes" if value else "no",
    "method": _method,
}
