"""The policy as the stream's driver reads it between micro-batches: again only when something changed."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fraudstream.policy import lists, versions
from fraudstream.policy.document import Kind, Rule
from fraudstream.policy.errors import PolicyError
from fraudstream.policy.live import NEVER, LivePolicy, live_rules
from fraudstream.policy.versions import PolicyVersion
from fraudstream.storage.connect import Postgres

log = logging.getLogger(__name__)

#: The policy at work, the newest change of a list, and the rules that are off. One row.
_MARKS = """
SELECT (SELECT coalesce(max(policy_version), 0) FROM fraud.policy_versions WHERE approved_at IS NOT NULL),
    (SELECT version FROM fraud.list_changes),
    (SELECT coalesce(jsonb_object_agg(rule, jsonb_build_array(condition, error)), '{}') FROM fraud.rule_failures)
"""
_ENTRIES = """
SELECT list_name, value, extract(epoch FROM expires_at)::float8 FROM fraud.list_entries
WHERE list_name = ANY(%s) AND removed_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""


@dataclass(frozen=True)
class _Marks:
    """What tells that the policy has to be read again."""

    version: int
    lists: int | None
    failed: Mapping[str, Sequence[str]]  # condition and error of each rule that failed


@dataclass(frozen=True)
class PolicyAtWork:
    """The policy at work; `live` is None while there is none, and the model's threshold decides."""

    marks: _Marks = _Marks(0, None, {})
    live: LivePolicy | None = None
    rules: Mapping[str, Rule] = field(default_factory=dict)  # of that version, by name
    problem: str = ""  # rules that should be at work and aren't, and why

    @property
    def version(self) -> int | None:
        """Its version."""
        return self.live.version if self.live else None


def newest(connection: Postgres, columns: Mapping[str, str], held: PolicyAtWork) -> PolicyAtWork:
    """The policy at work now: `held` itself while nothing changed. `columns` are those that conditions may name.

    A version that can't be read leaves the one that is held at work, or the one before it, and `problem` says so.
    """
    row = connection.execute(_MARKS).fetchone()
    marks = _Marks(*row) if row else _Marks(0, None, {})
    if marks == held.marks:
        return held
    if not marks.version:
        return PolicyAtWork(marks)
    try:
        chosen = versions.version(connection, marks.version)
    except PolicyError as error:
        log.error("policy version %s can't be used, going on without it: %s", marks.version, error)
        problem = f"policy version {marks.version} is not at work: {error}"
        if held.live is None and (before := versions.newest_readable(connection, marks.version)):
            held = _read(connection, columns, marks, before, held)
        return PolicyAtWork(marks, held.live, held.rules, "; ".join(filter(None, (problem, held.problem))))
    return _read(connection, columns, marks, chosen, held)


def _read(
    connection: Postgres, columns: Mapping[str, str], marks: _Marks, chosen: PolicyVersion, held: PolicyAtWork
) -> PolicyAtWork:
    policy = chosen.policy
    kinds: dict[str, Kind] = lists.kinds(connection)
    off = {name: condition for name, (condition, _) in marks.failed.items()}
    rules, refused = live_rules(policy, columns, kinds, off)
    named = sorted({name for rule in rules for _, _, name in rule.memberships})
    entries: dict[str, dict[str, float]] = {name: {} for name in named}
    for name, value, expires_at in connection.execute(_ENTRIES, (named,)).fetchall() if named else ():
        entries[name][value] = max(entries[name].get(value, 0.0), NEVER if expires_at is None else expires_at)
    live = LivePolicy(chosen.version, policy.thresholds, policy.random_review_share, rules, entries)
    if held.live is None or live != held.live:
        log.info("policy %s: %s rules, %s entries of lists", live.version, len(rules), sum(map(len, entries.values())))
    else:
        live = held.live  # so that it needn't be sent to the workers again
    known = {rule.name: rule for rule in policy.rules}
    failed = {
        n: error for n, (condition, error) in marks.failed.items() if n in known and condition == known[n].condition
    }
    problem = "; ".join(f"rule {name} is switched off: {error}" for name, error in (refused | failed).items())
    return PolicyAtWork(marks, live, known, problem)
