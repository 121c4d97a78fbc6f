"""Times in every form that shops write: ISO 8601, numbers since 1970 or another start, patterns."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

Reader = Callable[[Any], datetime]

ISO = "iso"
#: Parts of a second in each unit of numbers since 1970.
EPOCHS = {"epoch_s": 1, "epoch_ms": 10**3, "epoch_us": 10**6, "epoch_ns": 10**9}
#: Microseconds of the units of `UNIT since START`.
UNITS = {
    "milliseconds": 10**3, "seconds": 10**6, "minutes": 60 * 10**6, "hours": 3600 * 10**6, "days": 86_400 * 10**6,
}  # fmt: skip
FIRST_YEAR, LAST_YEAR = 1970, 2199
_SINCE = re.compile(r"(\w+) since (.+)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC)
_LAST_US = (_LAST - _EPOCH) // timedelta(microseconds=1)
#: What `fromisoformat` doesn't take: a zone's name after its offset, UTC or a space before the zone, small letters.
_ZONE_NAME = re.compile(r"\[[^\]]*\]$")
_UTC_NAME = re.compile(r"\s*(?:UTC|GMT|Z|z)$")
_SPACE_BEFORE_OFFSET = re.compile(r"\s+(?=[+-]\d\d(?::?\d\d)?$)")
_DATE = re.compile(r"\d{4}-?(?:\d\d-?\d\d|W\d\d)")
_MOST = 10**20  # nanoseconds of more than all years; Decimal divides no number of more than 28 digits
_MOMENT = datetime(2026, 11, 27, 22, 33, 44, tzinfo=UTC)  # no two of its parts are alike


class TimeFormError(ValueError):
    """A form of times is none; the message says why."""


def check_form(form: str) -> None:
    """Raises TimeFormError unless `form` is one that `time_reader` knows."""
    if form == ISO or form in EPOCHS:
        return
    if found := _SINCE.fullmatch(form):
        _start(found)
    elif "%" in form:
        _check_pattern(form)
    else:
        raise TimeFormError(
            f"is none of {ISO}, {', '.join(EPOCHS)}, a count such as 'hours since 2026-03-01', and a pattern such as "
            "'%d.%m.%Y %H:%M'"
        )


def time_reader(form: str, zone: str) -> Reader:
    """A function from a value to an aware time in UTC. It raises ValueError with what was expected.

    `form` is one that `check_form` takes; `zone` holds for times without one.
    """
    clock = UTC if zone == "UTC" else ZoneInfo(zone)
    if form in EPOCHS:
        return _epoch_reader(form)
    if found := _SINCE.fullmatch(form):
        return _since_reader(form, _start(found), UNITS[found[1]], clock)
    parse = _iso if form == ISO else _pattern_parser(form)
    expected = "ISO 8601" if form == ISO else form

    def read(value: Any) -> datetime:
        if isinstance(value, datetime):
            moment = value
        elif isinstance(value, date):
            moment = datetime(value.year, value.month, value.day)
        elif isinstance(value, str):
            moment = parse(value, expected)
        else:
            raise ValueError(f"{value!r} is a number, and the form is {expected}: say time = 'epoch_s' or another")
        return _usable(value, in_utc(moment, clock))

    return read


def in_utc(moment: datetime, clock: tzinfo) -> datetime:
    """`moment` in UTC; without a zone it is one of `clock`'s: of an hour that comes twice the second."""
    if moment.tzinfo is not None:
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    if clock is UTC:
        return moment.replace(tzinfo=UTC)
    # Of an hour that comes twice, and of one that is left out, the smaller offset is that of winter.
    offsets = [clock.utcoffset(moment.replace(fold=fold)) or timedelta(0) for fold in (0, 1)]
    return (moment - min(offsets)).replace(tzinfo=UTC)


def _usable(value: Any, moment: datetime) -> datetime:
    if moment <= _EPOCH or moment >= _LAST:
        raise ValueError(_placeholder(value))
    return moment


def _placeholder(value: Any) -> str:
    return f"{_shown(value)} is a placeholder: no time after the beginning of {FIRST_YEAR} and until {LAST_YEAR}"


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, date) else repr(value)[:60]


def _iso(text: str, expected: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    plain = _SPACE_BEFORE_OFFSET.sub("", _UTC_NAME.sub("Z", _ZONE_NAME.sub("", text.strip())))
    if plain.startswith("0000"):
        raise ValueError(_placeholder(text))
    try:
        if _DATE.match(plain):
            return datetime.fromisoformat(plain)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{_shown(text)} is no time of {expected}")


def _pattern_parser(form: str) -> Callable[[str, str], datetime]:
    strptime = datetime.strptime

    def parse(text: str, expected: str) -> datetime:
        try:
            return strptime(text.strip(), form)
        except ValueError:
            if text.startswith("0000"):
                raise ValueError(_placeholder(text)) from None
            raise ValueError(f"{_shown(text)} is no time of the form {expected}") from None

    return parse


def _check_pattern(form: str) -> None:
    try:
        text = _MOMENT.strftime(form)
        found = datetime.strptime(text, form)
    except (ValueError, re.error) as error:
        raise TimeFormError(f"is no pattern of strptime: {error}; such as '%d.%m.%Y %H:%M'") from None
    if found.date() != _MOMENT.date():
        raise TimeFormError("has no full date: a pattern needs day, month and year, such as '%d.%m.%Y %H:%M'")
    if found.hour not in (0, _MOMENT.hour):
        raise TimeFormError("has %I, hours of a 12-hour clock, without %p, which says AM or PM")


def _epoch_reader(form: str) -> Reader:
    parts = EPOCHS[form]

    def read(value: Any) -> datetime:
        microseconds = _number(value, form) * 10**6 // parts
        if not 0 < microseconds < _LAST_US:
            raise ValueError(f"{_placeholder(value)} as {form}{_better(value)}")
        # right to the microsecond until `LAST_YEAR`, and half of what a sum with a timedelta takes
        return datetime.fromtimestamp(int(microseconds) / 10**6, UTC)

    return read


def _better(value: Any) -> str:
    fitting = [unit for unit, parts in EPOCHS.items() if 10**9 <= _number(value, unit) / parts < 4 * 10**9]
    return f"; it would fit time = {fitting[0]!r}" if fitting else ""


def _since_reader(form: str, start: datetime, size: int, clock: tzinfo) -> Reader:
    begin = in_utc(start, clock)

    def read(value: Any) -> datetime:
        try:
            return _usable(value, begin + timedelta(microseconds=int(_number(value, form) * size)))
        except OverflowError:
            raise ValueError(f"{_shown(value)} as {form} is beyond all years") from None

    return read


def _start(found: re.Match[str]) -> datetime:
    unit, text = found.groups()
    if unit not in UNITS:
        raise TimeFormError(f"{unit!r} is no unit of time: one of {', '.join(UNITS)}")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise TimeFormError(f"{text!r} is no ISO 8601 time, such as 2026-03-01") from None


def _number(value: Any, form: str) -> Any:
    """A finite int or Decimal: floats skip integers from 2**53 on, and nanoseconds are above."""
    if type(value) is int:
        return value
    if isinstance(value, str):
        if value.isascii() and value.isdigit():
            return int(value)
        try:
            number = Decimal(value.strip())
        except InvalidOperation:
            number = Decimal("nan")
    elif isinstance(value, float | Decimal):
        number = Decimal(repr(value)) if isinstance(value, float) else value
    else:
        number = Decimal("nan")
    if not number.is_finite():
        raise ValueError(f"{_shown(value)} is no number, and the form is {form}")
    if abs(number) >= _MOST:
        raise ValueError(f"{_shown(value)} as {form} is beyond all years")
    return number
