"""Rules as the desk shows them: how often they match, how right they were, who wrote them."""

from dataclasses import dataclass
from datetime import date

from fraudstream.policy import versions
from fraudstream.policy.document import Action, Rule, State, is_over
from fraudstream.storage.connect import Postgres

#: Hits a day are those of so many days, as far as there are so many.
DAYS = 7
#: Days of the archive that a rule can be tried on.
PERIODS = (7, 30, 90, 365)
#: Days that a rule's page shows.
SHOWN_DAYS = 14
STATES = {
    State.DRAFT: "draft",
    State.SHADOW: "in shadow",
    State.LIVE: "live",
    State.RETIRED: "retired",
}
ACTIONS = {Action.REVIEW: "review", Action.BLOCK: "block", Action.ALLOW: "allow"}
#: What comes after a state, and the words of its button.
NEXT = {State.DRAFT: "To shadow", State.SHADOW: "To live", State.RETIRED: "To shadow"}

#: Hits of the newest days, and over how many days, at least one.
_HITS = """
WITH newest AS (SELECT max(window_start) AS hour FROM fraud.rule_counts)
SELECT rule, sum(matched)::float8,
    greatest(extract(epoch FROM (SELECT hour FROM newest) + interval '1 hour' - min(window_start)) / 86400, 1)::float8
FROM fraud.rule_counts WHERE window_start > (SELECT hour FROM newest) - %s * interval '1 day' GROUP BY 1
"""
#: Alerts that each rule had a part in, and what became of them.
_JUDGED = """
SELECT rule, count(*) FILTER (WHERE status = 'confirmed'), count(*) FILTER (WHERE status IN ('confirmed', 'dismissed')),
    count(*)
FROM fraud.fraud_alerts, unnest(matched_rules) AS rule WHERE matched_rules <> '{}' GROUP BY 1
"""
_DAILY = """
SELECT (window_start AT TIME ZONE 'UTC')::date AS day, state, sum(matched)::bigint, sum(changed)::bigint,
    sum(amount)::float8
FROM fraud.rule_counts WHERE rule = %s GROUP BY 1, 2 ORDER BY 1 DESC, 2 LIMIT %s
"""
_FAILED = "SELECT rule, condition, error FROM fraud.rule_failures"


@dataclass(frozen=True)
class Judged:
    """Alerts that a rule had a part in: frauds of the judged, of all."""

    frauds: int = 0
    judged: int = 0
    alerts: int = 0

    @property
    def precision(self) -> float | None:
        """The share of frauds; None while nothing is judged."""
        return self.frauds / self.judged if self.judged else None


@dataclass(frozen=True)
class ShownRule:
    """A rule in the list and on its page. `hits_per_day` is None while it was never evaluated."""

    rule: Rule
    state: str
    error: str
    hits_per_day: float | None
    judged: Judged
    author: str

    @property
    def can_move_on(self) -> str:
        """The words of the button to its next state; empty for a live one."""
        return NEXT.get(self.rule.state, "")


@dataclass(frozen=True)
class Day:
    """What a rule matched in a day (UTC), in one state; money in the shop currency."""

    day: date
    state: str
    matched: int
    changed: int
    amount: float


def read(connection: Postgres, found: list[Rule]) -> list[ShownRule]:
    """Rules with what is known of them: live ones first, then those in shadow, drafts and retired ones, by name."""
    hits = {name: matched / days for name, matched, days in connection.execute(_HITS, (DAYS,)).fetchall()}
    judged = {name: Judged(*counts) for name, *counts in connection.execute(_JUDGED).fetchall()}
    failed = {name: (condition, error) for name, condition, error in connection.execute(_FAILED).fetchall()}
    authors = versions.authors(connection)
    order = [State.LIVE, State.SHADOW, State.DRAFT, State.RETIRED]
    shown = []
    for rule in sorted(found, key=lambda one: (order.index(one.state), one.name)):
        condition, error = failed.get(rule.name, ("", ""))
        error = error if condition == rule.condition else ""
        state = "expired" if is_over(rule) else "switched off" if error else STATES[rule.state]
        shown.append(
            ShownRule(
                rule, state, error, hits.get(rule.name), judged.get(rule.name, Judged()), authors.get(rule.name, "")
            )
        )
    return shown


def daily(connection: Postgres, name: str) -> list[Day]:
    """What a rule matched in its newest days, the newest first."""
    return [Day(*row) for row in connection.execute(_DAILY, (name, SHOWN_DAYS)).fetchall()]
