"""What a policy version would have decided about past transactions, had it been at work then.

Lists count as they were when each transaction happened, and so do the rules' expiry and snoozes. Rules in shadow decide
nothing, and are left out. A rule that fails on some transactions is left out for these, as in the stream.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import pyarrow as pa

from fraudstream.policy.decide import DECISIONS, Limits, Votes, by_score, chance
from fraudstream.policy.document import Action, Kind
from fraudstream.policy.engine import Engine
from fraudstream.policy.errors import PolicyError
from fraudstream.policy.live import LivePolicy, LiveRule, live_rules
from fraudstream.policy.versions import PolicyVersion

#: A column of the transactions by its name, Arrow; a value that isn't known is null.
ColumnOf = Callable[[str], pa.Array]
#: Of a list's value, the epoch seconds from when until when each of its entries was at work.
Intervals = Sequence[tuple[float, float]]
#: Name of the list, value, and when the entry began and ended (aware; None: it hasn't).
Entry = tuple[str, str, datetime, datetime | None]
_REVIEW, _ALLOW = DECISIONS.index(Action.REVIEW), DECISIONS.index(Action.ALLOW)


@dataclass(frozen=True)
class PastPolicy:
    """A policy version, compiled, with all entries that its lists ever had."""

    live: LivePolicy
    entries: Mapping[str, Mapping[str, Intervals]] = field(default_factory=dict)

    @property
    def columns(self) -> set[str]:
        """The columns that deciding asks for."""
        named = {name for rule in self.live.rules for name in rule.columns}
        named |= {column for rule in self.live.rules for _, column, _ in rule.memberships}
        named |= {column for rule in self.live.rules for column, _, _ in rule.snoozes}
        return named | ({"transaction_id"} if self.live.random_review_share else set())

    @property
    def lists(self) -> list[str]:
        """The lists that its rules name."""
        return sorted({name for rule in self.live.rules for _, _, name in rule.memberships})

    def with_entries(self, found: Iterable[Entry]) -> "PastPolicy":
        """The same with entries of its lists."""
        entries: dict[str, dict[str, list[tuple[float, float]]]] = {}
        for name, value, begun_at, ended_at in found:
            until = ended_at.timestamp() if ended_at else float("inf")
            entries.setdefault(name, {}).setdefault(value, []).append((begun_at.timestamp(), until))
        return replace(self, entries=entries)


def compiled(of: PolicyVersion, columns: Mapping[str, str], kinds: Mapping[str, Kind]) -> PastPolicy:
    """The version's live rules over `columns`. Raises PolicyError when one of them can't be evaluated."""
    rules, refused = live_rules(of.policy, columns, kinds, {})
    decide = {rule.name for rule in rules if rule.is_live}
    if problems := [f"rule {name}: {error}" for name, error in refused.items()]:
        raise PolicyError(f"policy version {of.version} can't be evaluated: {'; '.join(problems)}")
    live = tuple(rule for rule in rules if rule.name in decide)
    return PastPolicy(LivePolicy(of.version, of.policy.thresholds, of.policy.random_review_share, live))


class PastDecisions:
    """Decides by a policy; `failures` are rules that failed on some transactions, with the newest error."""

    def __init__(self, policy: PastPolicy) -> None:
        self._policy, self._engine = policy, Engine()
        self.failures: dict[str, str] = {}

    def flagged(self, scores: np.ndarray, threshold: float, times: np.ndarray, column_of: ColumnOf) -> np.ndarray:
        """Which transactions wouldn't simply have been allowed: bool [rows].

        `threshold` is the model's own, `times` are epoch seconds of the transactions. All are of the same length.
        """
        live = self._policy.live
        review = live.thresholds.review
        scored = by_score(scores, Limits(threshold if review is None else review, live.thresholds.block))
        matches = self._matches(times, column_of)
        codes = Votes(scored, matches, [rule.action for rule in live.rules], [True] * len(live.rules)).decide()
        if live.random_review_share:
            for row in np.flatnonzero((codes == _ALLOW) & ~matches.any(axis=1)):
                if chance(column_of("transaction_id")[row].as_py()) < live.random_review_share:
                    codes[row] = _REVIEW
        flagged: np.ndarray = codes != _ALLOW
        return flagged

    def _matches(self, times: np.ndarray, column_of: ColumnOf) -> np.ndarray:
        rules = self._policy.live.rules
        if not rules:
            return np.zeros((len(times), 0), bool)
        matches, failures = self._engine.matches(self._table(times, column_of), [rule.sql for rule in rules])
        self.failures |= {rules[number].name: error for number, error in failures.items()}
        for number, rule in enumerate(rules):
            matches[:, number] &= _is_at_work(rule, times, column_of)
        return matches

    def _table(self, times: np.ndarray, column_of: ColumnOf) -> pa.Table:
        rules = self._policy.live.rules
        columns = {name: column_of(name) for name in sorted({name for rule in rules for name in rule.columns})}
        for flag, column, name in sorted({membership for rule in rules for membership in rule.memberships}):
            columns[flag] = self._held(name, column_of(column), times)
        return pa.table(columns or {"row": pa.nulls(len(times))})

    def _held(self, name: str, values: pa.Array, times: np.ndarray) -> pa.Array:
        """Whether the list held each value when its transaction happened; null for a value that isn't known."""
        entries = self._policy.entries.get(name, {})
        return pa.array(
            (
                None if value is None else any(begun <= at < ended for begun, ended in entries.get(value, ()))
                for value, at in zip(values.to_pylist(), times, strict=True)
            ),
            pa.bool_(),
            size=len(values),
        )


def _is_at_work(rule: LiveRule, times: np.ndarray, column_of: ColumnOf) -> np.ndarray:
    """Where the rule hadn't expired, and wasn't snoozed. Snoozes have no beginning: they count from ever."""
    at_work: np.ndarray = times < rule.expires_at
    for column, value, until in rule.snoozes:
        if (snoozed := times < until).any():
            at_work &= ~(snoozed & (np.array(column_of(column).to_pylist(), object) == value))
    return at_work
