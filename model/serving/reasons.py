"""Sentences that say, in plain English, what a feature's value means, and what is usual."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import isfinite
from string import Formatter
from typing import NamedTuple

from model.features.columns import SPECS
from model.serving.quantities import Quantity, portion, told


@dataclass(frozen=True)
class Facts:
    """What a transaction's sentences are made of."""

    values: Mapping[str, float]
    """Features by name, NaN where unknown."""
    usual: Mapping[str, float | None]
    """Medians over legitimate training transactions, by feature."""
    currency: str
    """The shop currency, in which features are."""


def sentence(name: str, facts: Facts) -> str:
    """The sentence of feature `name`, whose value is known: among others, the facts that it names."""
    spec = SPECS[name]
    template = spec.otherwise if spec.otherwise and not facts.values[name] else spec.template
    return "".join(_first_known(part, name, facts) for part in _parts(template))


class _Piece(NamedTuple):
    """A literal text and, behind it, the fact with that name and how it is told; no name: there is none."""

    text: str
    fact: str | None
    how: str


_Alternative = tuple[_Piece, ...]


@cache
def _parts(template: str) -> tuple[tuple[_Alternative, ...], ...]:
    """Parts of a template, in order, each with its alternatives."""
    return tuple(
        tuple(_pieces(alternative) for alternative in part.strip("[]").split("|"))
        for part in re.findall(r"\[[^]]*\]|[^[]+", template)
    )


def _pieces(text: str) -> _Alternative:
    return tuple(_Piece(literal, name, how or "") for literal, name, how, _ in Formatter().parse(text))


def _first_known(part: tuple[_Alternative, ...], name: str, facts: Facts) -> str:
    """The first alternative of which all is known; empty when there is none."""
    for alternative in part:
        words = [piece.text + said for piece in alternative if (said := _said(piece, name, facts)) is not None]
        if len(words) == len(alternative):
            return "".join(words)
    return ""


def _said(piece: _Piece, name: str, facts: Facts) -> str | None:
    """The fact that a piece names, in words; None when it isn't known."""
    if piece.fact is None:
        return ""
    if portion_of := _PORTIONS.get(piece.fact):
        return portion_of(facts.values)
    quantity = _quantity(piece.fact, name, facts)
    return told(quantity, piece.how, facts.currency) if quantity and isfinite(quantity.value) else None


def _quantity(fact: str, name: str, facts: Facts) -> Quantity | None:
    """The quantity that a template calls `fact`, in the sentence of feature `name`."""
    if fact == "usual":
        usual = facts.usual.get(name)
        return None if usual is None else Quantity(usual, SPECS[name].unit)
    if derived := _DERIVED.get(fact):
        return derived(facts.values)
    wanted = name if fact == "value" else fact
    value = facts.values.get(wanted)
    return None if value is None else Quantity(value, SPECS[wanted].unit)


_Values = Mapping[str, float]


def _over(numerator: str, ratio: str) -> Callable[[_Values], Quantity | None]:
    """What `numerator` was divided by, to make the feature `ratio`."""

    def divisor(values: _Values) -> Quantity | None:
        value, by = values.get(numerator), values.get(ratio)
        if value is None or not by:
            return None
        if numerator == "amount":
            value = round(value * 100) / 100 if isfinite(value) else value  # as profiles have it
        return Quantity(value / by, SPECS[numerator].unit)

    return divisor


def _part(share: str, whole: str, noun: str, whose: str) -> Callable[[_Values], str | None]:
    """The things of which the feature `share` is the share, among as many as the feature `whole`."""

    def words(values: _Values) -> str | None:
        part, total = values.get(share), values.get(whole)
        if part is None or total is None or not isfinite(part + total) or total < 1:
            return None
        return portion(round(part * total), round(total), noun, whose)

    return words


#: What follows from two features, by the name that templates give it.
_DERIVED: Mapping[str, Callable[[_Values], Quantity | None]] = {
    "own_mean": _over("amount", "amount_to_mean"),
    "own_most": _over("amount", "amount_to_max"),
    "own_pace": _over("since_last", "pace_ratio"),
    "own_click": _over("session_gap_mean", "pace_to_habit"),
}
_PORTIONS: Mapping[str, Callable[[_Values], str | None]] = {
    "bought_seen": _part("bought_seen_share", "item_lines", "product", "the"),
    **{
        f"{thing}_uses": _part(f"{thing}_share", "known_transactions", "earlier purchase", "their")
        for thing in ("device", "card", "place", "promo")
    },
}
#: All names that a template may use, besides the features'.
FACTS = frozenset({"value", "usual", *_DERIVED, *_PORTIONS})
