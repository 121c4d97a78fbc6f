"""Decisions from scores and matched rules. Pure: arrays in, arrays out."""

from collections.abc import Mapping, Sequence
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


class Votes:
    """How many live rules ask for each action, for each transaction: what decides, with the score."""

    def __init__(
        self, scored: np.ndarray, matches: np.ndarray, actions: Sequence[Action], live: Sequence[bool]
    ) -> None:
        """`scored` is the score's own decision; `matches` is bool [rows, rules], of rules with `actions`."""
        self._scored, self._actions, self._live = scored, actions, live
        self._counts = {action: np.zeros(len(scored), int) for action in Action}
        for rule, action in enumerate(actions):
            if live[rule]:
                self._counts[action] += matches[:, rule]

    def decide(self) -> np.ndarray:
        """Allow beats block beats review beats the score. Codes of `DECISIONS`."""
        return _strongest(self._scored, self._counts)

    def changed(self, rule: int, rows: np.ndarray) -> np.ndarray:
        """Where `rule` makes (live) or would make (in shadow) another decision than the other live rules.

        `rows` are those that it matched; bool [len(rows)].
        """
        scored, action = self._scored[rows], self._actions[rule]
        without = {each: count[rows] for each, count in self._counts.items()}
        if self._live[rule]:
            without[action] = without[action] - 1
        among = without | {action: without[action] + 1}
        difference: np.ndarray = _strongest(scored, without) != _strongest(scored, among)
        return difference


def _strongest(scored: np.ndarray, counts: Mapping[Action, np.ndarray]) -> np.ndarray:
    codes = scored.copy()
    for action in (Action.REVIEW, Action.BLOCK, Action.ALLOW):
        codes[counts[action] > 0] = _CODE[action]
    return codes


def chance(transaction_id: str) -> float:
    """A number in [0, 1) that depends on the transaction alone, so that a repeated micro-batch chooses the same."""
    digest = blake2b(transaction_id.encode(), digest_size=8, person=b"random-review").digest()
    return (int.from_bytes(digest) >> (64 - _RANDOM_BITS)) / float(1 << _RANDOM_BITS)
