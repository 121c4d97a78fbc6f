"""Values as shops write them: texts, ids, money, numbers, labels. Readers raise ValueError with what is wrong."""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import date, time
from decimal import Decimal
from typing import Any
from uuid import UUID

#: Words that mean fraud or not, where a mapping doesn't say.
WORDS = {"0": False, "1": True} | {
    word: truth
    for truth, words in ((False, ("false", "f", "no", "n")), (True, ("true", "t", "yes", "y")))
    for word in words
}
_PLAIN = re.compile(r"[+-]?\d+(?:\.\d+)?")
_NUMBERS = {
    ".": re.compile(r"[+-]?(?:\d{1,3}(?:,\d{2,3})*,\d{3}|\d+)?(?:\.\d*)?(?:[eE][+-]?\d{1,3})?"),
    ",": re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)?(?:,\d*)?"),
}
_CODE = re.compile(r"^([+-]?\(?)[A-Z]{3}(?=[\d.,+-])|(?<=[\d.,)-])[A-Z]{3}$")
_BEFORE_DOLLAR = re.compile(r"[A-Z]{1,3}(?=\$)")
_IN_PARENTHESES = re.compile(r"\(\+?([\d.,]+)\)")
_MINUS_BEHIND = re.compile(r"([\d.,]+)-")
_IGNORED = dict.fromkeys(map(ord, "'\N{RIGHT SINGLE QUOTATION MARK}_ \t\xa0\u2009\u202f"))
_SIGNS = {"€": "EUR", "£": "GBP", "₹": "INR", "₩": "KRW", "₺": "TRY", "₽": "RUB", "฿": "THB", "₫": "VND", "₪": "ILS"}


def text(value: Any) -> str:
    """A text or id as it is written. A whole number of floats is written without its point."""
    if type(value) is str:
        if "\0" in value:
            raise ValueError(f"{value[:60]!r} has a NUL character, which PostgreSQL's texts can't hold")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float | Decimal) and value == value:
        return str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise ValueError(f"{str(value)[:60]} is {_kind(value)}, and not a text or a number")


def number(value: Any, decimal: str = ".") -> float:
    """A finite number, or text of one: `1.50`, `$1,234.50`, `($3.00)`, `1.234,50 €` with `decimal` a comma."""
    kind = type(value)
    if kind is int:
        return float(value)
    if kind is str:
        if decimal == "." and _PLAIN.fullmatch(value):
            return float(value)
        found = _written(value, decimal)
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        found = float(value)
    else:
        raise ValueError(f"{str(value)[:60]} is {_kind(value)}, and not a number")
    if not math.isfinite(found):
        raise ValueError(f"{value!r} is not a finite number")
    return found


def is_plain(value: str) -> bool:
    """Whether a text is a number as a machine writes it, such as `0` or `-1.5`."""
    return _PLAIN.fullmatch(value) is not None


def count(value: Any) -> int:
    """A whole number."""
    if type(value) is int:
        return value
    found = number(value)
    if not found.is_integer():
        raise ValueError(f"{value!r} is not a whole number")
    return int(found)


def currency_of(value: Any) -> str | None:
    """The ISO 4217 code that the text of an amount says, by letters or by a sign that only one currency has."""
    if type(value) is not str or _PLAIN.fullmatch(value):
        return None
    if found := re.search(r"(?<![A-Za-z])[A-Z]{3}(?![A-Za-z])", value):
        return found[0]
    return next((code for sign, code in _SIGNS.items() if sign in value), None)


def sign_of(value: Any) -> str | None:
    """As `currency_of`, or the sign itself where several currencies have it, such as $."""
    if type(value) is not str or _PLAIN.fullmatch(value):
        return None
    return currency_of(value) or next((each for each in value if unicodedata.category(each) == "Sc"), None)


def label_reader(fraud: Iterable[object], legitimate: Iterable[object], other: str) -> Callable[[Any], bool | None]:
    """A function from a value to the truth; None where it is unknown."""
    meanings = dict.fromkeys(map(word, legitimate), False) | dict.fromkeys(map(word, fraud), True) or WORDS
    rest = {"legitimate": False, "fraud": True, "unknown": None}
    refuse = other not in rest

    def read(value: Any) -> bool | None:
        found = meanings.get(word(value))
        if found is None and refuse:
            shown = ", ".join(repr(each) for each in meanings)
            raise ValueError(f"{value!r} is none of {shown}: add it to fraud or legitimate under [labels]")
        return rest[other] if found is None else found

    return read


def word(value: object) -> str:
    """A label in one spelling: 1 for 1.0 and 1.00, without regard to case."""
    spelled = str(value).strip().lower()
    if "." in spelled and spelled.replace(".", "", 1).isdigit():
        return spelled.rstrip("0").removesuffix(".") or "0"
    return spelled


def _written(value: str, decimal: str) -> float:
    """A number as people write it."""
    bare = "".join(
        each for each in _BEFORE_DOLLAR.sub("", value.translate(_IGNORED)) if unicodedata.category(each) != "Sc"
    )
    bare = _CODE.sub(r"\1", bare.replace("\N{MINUS SIGN}", "-").strip())
    bare = _IN_PARENTHESES.sub(r"-\1", bare) if bare.startswith("(") else bare
    if behind := _MINUS_BEHIND.fullmatch(bare):
        bare = f"-{behind[1]}"
    if not _NUMBERS[decimal].fullmatch(bare) or not any(each.isdigit() for each in bare):
        other = "," if decimal == "." else "."
        hint = f"; with decimal = {other!r} it would be one" if _fits(bare, other) else ""
        raise ValueError(f"{value[:60]!r} is not an amount where {decimal!r} begins the cents{hint}")
    thousands = "," if decimal == "." else "."
    return float(bare.replace(thousands, "").replace(decimal, "."))


def _fits(bare: str, decimal: str) -> bool:
    return any(each.isdigit() for each in bare) and _NUMBERS[decimal].fullmatch(bare) is not None


def _kind(value: Any) -> str:
    kinds = ((dict, "an object"), (list, "a list"), (bool, "true or false"))
    return next((name for kind, name in kinds if isinstance(value, kind)), f"a {type(value).__name__}")
