"""A policy as workers get it: the rules that are evaluated, compiled, and the lists that they name."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fraudstream.policy.document import Action, Kind, Policy, Rule, State, Thresholds
from fraudstream.policy.errors import ConditionError

if TYPE_CHECKING:
    from fraudstream.policy.conditions import Compiled

NEVER = float("inf")


@dataclass(frozen=True)
class LiveRule:
    """A rule that is evaluated. Times are epoch seconds."""

    name: str
    sql: str
    columns: tuple[str, ...]
    memberships: tuple[tuple[str, str, str], ...]  # flag, column, list
    action: Action
    is_live: bool  # else in shadow
    expires_at: float = NEVER
    snoozes: tuple[tuple[str, str, float], ...] = ()  # column, value, until


@dataclass(frozen=True)
class LivePolicy:
    """One version of the policy with the lists as they are: `lists` has each value's expiry, epoch seconds."""

    version: int
    thresholds: Thresholds
    random_review_share: float
    rules: tuple[LiveRule, ...] = ()
    lists: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """A rule that matched a transaction."""

    rule: str
    is_live: bool
    changed: bool  # whether the decision is, or in shadow would be, another one for it


#: Columns of the kinds that a rule can be snoozed for.
_SNOOZED = {Kind.CUSTOMER: "customer_id", Kind.DEVICE: "device_id", Kind.CARD: "card_token"}


def live_rules(
    policy: Policy, columns: Mapping[str, str], lists: Mapping[str, Kind], off: Mapping[str, str]
) -> tuple[tuple[LiveRule, ...], dict[str, str]]:
    """The rules to evaluate, and those that can't be compiled, with the reason.

    `off` has the condition of each rule that failed: it stays off until it has another one.
    """
    from fraudstream.policy.conditions import compile_condition  # here, since workers have no need of sqlglot

    rules, refused = [], {}
    for rule in policy.rules:
        if rule.state not in (State.SHADOW, State.LIVE) or off.get(rule.name) == rule.condition:
            continue
        try:
            rules.append(_compiled(rule, columns, lists, compile_condition))
        except ConditionError as error:
            refused[rule.name] = str(error)
    return tuple(rules), refused


def _compiled(
    rule: Rule,
    columns: Mapping[str, str],
    lists: Mapping[str, Kind],
    compile_condition: Callable[[str, Mapping[str, str], Mapping[str, Kind]], "Compiled"],
) -> LiveRule:
    compiled = compile_condition(rule.condition, columns, lists)
    return LiveRule(
        rule.name,
        compiled.sql,
        compiled.columns,
        tuple((m.flag, m.column, m.list_name) for m in compiled.memberships),
        rule.action,
        rule.state is State.LIVE,
        rule.expires_at.timestamp() if rule.expires_at else NEVER,
        tuple(_snoozes(rule)),
    )


def _snoozes(rule: Rule) -> Iterator[tuple[str, str, float]]:
    for snooze in rule.snoozes:
        yield _SNOOZED[snooze.kind], snooze.value, snooze.until.timestamp()
