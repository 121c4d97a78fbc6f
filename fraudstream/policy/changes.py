"""Changes of the policy, each a new version: rules added, taken through their states, snoozed; whole documents."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec.structs import replace

from fraudstream.policy import audit, lists, versions
from fraudstream.policy.conditions import Compiled, compile_condition
from fraudstream.policy.document import Action, Policy, Rule, Snooze, State, Thresholds
from fraudstream.policy.engine import Engine
from fraudstream.policy.errors import ConditionError, PolicyError
from fraudstream.policy.versions import PolicyVersion
from fraudstream.storage.connect import Postgres

#: A live rule was in shadow first, unless somebody says otherwise.
_NEXT = {State.DRAFT: State.SHADOW, State.SHADOW: State.LIVE, State.RETIRED: State.SHADOW}


@dataclass(frozen=True)
class Desk:
    """Where changes are made: a connection, the columns that conditions may name, and who makes them.

    `based_on` is the version that whoever makes them saw: with a newer one, they raise ChangedMeanwhileError. None:
    the newest, whatever it is.
    """

    connection: Postgres
    columns: Mapping[str, str]
    who: str
    based_on: int | None = None

    def check(self, condition: str) -> Compiled:
        """The condition, compiled; tried on DuckDB, too. Raises ConditionError."""
        compiled = compile_condition(condition, self.columns, lists.kinds(self.connection))
        Engine().check(compiled, self.columns)
        return compiled

    def add_rule(self, rule: Rule, comment: str = "") -> PolicyVersion:
        """Adds a rule. Raises PolicyError when there is one of this name, ConditionError when it is refused."""
        self.check(rule.condition)

        def change(policy: Policy) -> Policy:
            if any(known.name == rule.name for known in policy.rules):
                raise PolicyError(f"there is a rule {rule.name!r} already: retire it, or take another name")
            return policy.with_rule(rule)

        return self._save(change, comment or f"add rule {rule.name}")

    def change_rule(self, changed: Rule, comment: str = "") -> PolicyVersion:
        """Gives a rule another condition, action or expiry; its snoozes stay.

        With another condition or action it is a draft again, as one that nobody tried. Raises PolicyError when there is
        no rule of this name, ConditionError when the condition is refused.
        """
        self.check(changed.condition)

        def change(policy: Policy) -> Policy:
            known = policy.rule(changed.name)
            same = (known.condition, known.action) == (changed.condition, changed.action)
            state = known.state if same else State.DRAFT
            return policy.with_rule(replace(changed, state=state, snoozes=known.snoozes))

        return self._save(change, comment or f"change rule {changed.name}")

    def enable_rule(self, name: str, *, to: State | None = None) -> PolicyVersion:
        """Takes a rule to its next state (draft, shadow, live), or to `to`; one that failed is evaluated again."""
        rule = versions.newest(self.connection).policy.rule(name)
        state = to or _NEXT.get(rule.state)
        if state is None or state is rule.state:
            if self._forget_failure(name):
                return versions.newest(self.connection)
            raise PolicyError(f"rule {name} is {rule.state} already")
        self.check(rule.condition)
        if rule.expires_at and rule.expires_at <= datetime.now(UTC):
            raise PolicyError(f"rule {name} expired at {rule.expires_at:%Y-%m-%d %H:%M} UTC: give it another expiry")
        self._forget_failure(name)
        return self._save(lambda policy: policy.with_rule(replace(policy.rule(name), state=state)), f"{name}: {state}")

    def retire_rule(self, name: str) -> PolicyVersion:
        """Takes a rule out of work, for good or until it is enabled again."""
        return self._save(
            lambda policy: policy.with_rule(replace(policy.rule(name), state=State.RETIRED)), f"{name}: retired"
        )

    def snooze_rule(self, name: str, snooze: Snooze) -> PolicyVersion:
        """Lets a rule not match one customer, device or card until then."""

        def change(policy: Policy) -> Policy:
            rule, now = policy.rule(name), datetime.now(UTC)
            kept = [s for s in rule.snoozes if s.until > now and (s.kind, s.value) != (snooze.kind, snooze.value)]
            return policy.with_rule(replace(rule, snoozes=[*kept, snooze]))

        until = f"{snooze.until:%Y-%m-%d %H:%M %Z}"
        return self._save(change, f"{name}: snoozed for {snooze.kind} {snooze.value} until {until}")

    def set_thresholds(self, thresholds: Thresholds, comment: str = "") -> PolicyVersion:
        """Changes the scores from which on a transaction is reviewed or blocked."""
        review, block = (
            "the model's own" if thresholds.review is None else thresholds.review,
            "none" if thresholds.block is None else thresholds.block,
        )
        said = comment or f"thresholds: review {review}, block {block}"
        return self._save(lambda policy: replace(policy, thresholds=thresholds), said)

    def set_safeguards(self, *, random_review_share: float, approvals_needed: int, comment: str = "") -> PolicyVersion:
        """Changes the share that is reviewed by chance (0 to 1), and how many others approve a version (0 or 1).

        Who lowers the approvals still needs them for this version. Raises PolicyError.
        """
        said = comment or f"by chance to review {random_review_share:g}, approvals needed {approvals_needed}"

        def change(policy: Policy) -> Policy:
            return replace(policy, random_review_share=random_review_share, approvals_needed=approvals_needed)

        return self._save(change, said)

    def apply(self, policy: Policy, comment: str, based_on: int | None = None) -> PolicyVersion:
        """Saves a whole document. Raises ConditionError for a rule that is refused, unless it is retired."""
        for rule in policy.rules:
            if rule.state is not State.RETIRED:
                try:
                    self.check(rule.condition)
                except ConditionError as error:
                    raise ConditionError(f"rule {rule.name}: {error}") from None
        latest = versions.newest(self.connection).version if based_on is None else based_on
        return versions.save(self.connection, policy, author=self.who, comment=comment, based_on=latest)

    def _save(self, change: Callable[[Policy], Policy], comment: str) -> PolicyVersion:
        latest = versions.newest(self.connection)
        based_on = latest.version if self.based_on is None else self.based_on
        changed = change(latest.policy)
        return versions.save(self.connection, changed, author=self.who, comment=comment, based_on=based_on)

    def _forget_failure(self, name: str) -> bool:
        row = self.connection.execute(
            "DELETE FROM fraud.rule_failures WHERE rule = %s RETURNING condition, error", (name,)
        ).fetchone()
        if row is None:
            return False
        before = {"condition": row[0], "error": row[1]}
        audit.note(self.connection, self.who, "rule failure forgotten", f"rule {name}", before=before)
        return True


def new_rule(name: str, condition: str, action: Action, expires_at: datetime | None = None) -> Rule:
    """A draft."""
    return Rule(name=name, condition=condition, action=action, expires_at=expires_at)
