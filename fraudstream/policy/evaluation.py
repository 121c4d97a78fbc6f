"""What a policy decides about the transactions of a micro-batch: what the scoring workers run."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from fraudstream.policy.decide import DECISIONS, Limits, Votes, by_score, chance
from fraudstream.policy.document import Action
from fraudstream.policy.live import LivePolicy, LiveRule, Match

if TYPE_CHECKING:
    from fraudstream.policy.engine import Engine

#: A column of the micro-batch by its name, Arrow; a value that isn't known is null.
ColumnOf = Callable[[str], pa.Array]


@dataclass(frozen=True)
class Decisions:
    """What was decided about each transaction, in their order."""

    decisions: list[str]
    matches: list[list[Match]]
    review_probability: list[float | None]
    failures: dict[str, str] = field(default_factory=dict)  # rules that failed, with the error

    @property
    def flagged(self) -> np.ndarray:
        """Those that aren't simply allowed: bool [rows]."""
        return np.array([decision != Action.ALLOW for decision in self.decisions], bool)


def without_policy(is_fraud: np.ndarray) -> Decisions:
    """What the model's own threshold decides."""
    decisions = [Action.REVIEW.value if flagged else Action.ALLOW.value for flagged in is_fraud]
    return Decisions(decisions, [[] for _ in decisions], [None] * len(decisions))


class Evaluator:
    """Decides by policies; one a worker process, since it holds a DuckDB from the first rule on."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    def decide(self, policy: LivePolicy, scores: np.ndarray, model_threshold: float, column_of: ColumnOf) -> Decisions:
        """Decides by `policy`, as of now, about the transactions with `scores`. A rule that fails is left out."""
        now = time.time()
        rules = [rule for rule in policy.rules if rule.expires_at > now]
        review = policy.thresholds.review
        scored = by_score(scores, Limits(model_threshold if review is None else review, policy.thresholds.block))
        matches, failures = self._matches(policy, rules, column_of, len(scores), now)
        live = [rule.is_live for rule in rules]
        votes = Votes(scored, matches, [rule.action for rule in rules], live)
        told: list[list[Match]] = [[] for _ in scores]
        for number in np.flatnonzero(matches.any(axis=0)).tolist():
            rule, matched = rules[number], np.flatnonzero(matches[:, number])
            for row, differs in zip(matched, votes.changed(number, matched), strict=True):
                told[row].append(Match(rule.name, rule.is_live, bool(differs)))
        decisions = [DECISIONS[code].value for code in votes.decide()]
        probabilities: list[float | None] = [None] * len(decisions)
        if policy.random_review_share:
            ids = column_of("transaction_id").to_pylist()
            probabilities = _review_at_random(decisions, told, policy.random_review_share, ids)
        return Decisions(decisions, told, probabilities, failures)

    def _matches(
        self, policy: LivePolicy, rules: Sequence[LiveRule], column_of: ColumnOf, rows: int, now: float
    ) -> tuple[np.ndarray, dict[str, str]]:
        if not rules:
            return np.zeros((rows, 0), bool), {}
        if self._engine is None:
            from fraudstream.policy.engine import Engine  # here: without rules DuckDB isn't loaded

            self._engine = Engine()
        table = _table(policy, rules, column_of, rows, now)
        matches, failures = self._engine.matches(table, [rule.sql for rule in rules])
        for number, rule in enumerate(rules):
            for column, value, until in rule.snoozes:
                if until > now:
                    matches[:, number] &= np.array(column_of(column).to_pylist(), object) != value
        return matches, {rules[number].name: error for number, error in failures.items()}


def _table(policy: LivePolicy, rules: Sequence[LiveRule], column_of: ColumnOf, rows: int, now: float) -> pa.Table:
    """What the rules ask for: columns, and a flag for each list that is asked for a column."""
    columns = {name: column_of(name) for name in sorted({name for rule in rules for name in rule.columns})}
    for flag, column, list_name in sorted({membership for rule in rules for membership in rule.memberships}):
        entries = policy.lists.get(list_name, {})
        columns[flag] = pa.array(
            (None if value is None else entries.get(value, 0.0) > now for value in column_of(column).to_pylist()),
            pa.bool_(),
            size=rows,
        )
    return pa.table(columns or {"row": pa.nulls(rows)})


def _review_at_random(
    decisions: list[str], matches: list[list[Match]], share: float, ids: Sequence[str]
) -> list[float | None]:
    """Sends `share` of what nothing asked about to review; the probability for each that was sent, else None."""
    probabilities: list[float | None] = []
    for row, transaction_id in enumerate(ids):
        asked = decisions[row] != Action.ALLOW or any(match.is_live for match in matches[row])
        chosen = not asked and chance(transaction_id) < share
        if chosen:
            decisions[row] = Action.REVIEW.value
        probabilities.append(share if chosen else None)
    return probabilities
