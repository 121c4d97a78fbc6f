"""Decisions from scores and matched rules. Pure: arrays in, arrays out."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from fraudstream.policy.document import Action

#: Decisions by their code in arrays.
DECISIONS = (Action.ALLOW, Action.REVIEW, Action.BLOCK)
_CODE = {action: code for code, action in enumerate(DECISIONS)}
_RANDOM_BITS = 53


@dataclass(frozen=True)
class Limits:
    """Scores from which on a transaction is reviewed or blocked; `block` None: none is for its score alone."""

    review: float
    block: float | None


def by_score(scores: np.ndarray, limits: Limits) -> np.ndarray:
    """The score's own decision: codes of `DECISIONS`."""
    codes = np.where(scores >= limits.review, _CODE[Action.REVIEW], _CODE[Action.ALLOW])
    if limits.block is not None:
        codes[scores >= limits.block] = _CODE[Action.BLOCK]
    return codes


def decide(scored: np.ndarray, matches: np.ndarray, actions: Sequence[Action]) -> np.ndarray:
    """Allow beats block beats review beats the score. Codes of `DECISIONS`.

    `scored` is the score's decision; `matches` is bool [rows, rules], of rules with `actions`.
    """
    codes = scored.copy()
    for action in (Action.REVIEW, Action.BLOCK, Action.ALLOW):
        chosen = [number for number, own in enumerate(actions) if own is action]
        codes[matches[:, chosen].any(axis=1)] = _CODE[action]
    return codes


def changed(
    scored: np.ndarray, matches: np.ndarray, actions: Sequence[Action], live: Sequence[bool], rule: int
) -> np.ndarray:
    """Where `rule` makes (live) or would make (in shadow) another decision than the other live rules: bool [rows]."""
    without = [number for number, is_live in enumerate(live) if is_live and number != rule]
    among = [*without, rule]
    before = decide(scored, matches[:, without], [actions[number] for number in without])
    after = decide(scored, matches[:, among], [actions[number] for number in among])
    difference: np.ndarray = before != after
    return difference


def chance(transaction_id: str) -> float:
    """A number in [0, 1) that depends on the transaction alone, so that a repeated micro-batch chooses the same."""
    digest = blake2b(transaction_id.encode(), digest_size=8, person=b"random-review").digest()
    return (int.from_bytes(digest) >> (64 - _RANDOM_BITS)) / float(1 << _RANDOM_BITS)
