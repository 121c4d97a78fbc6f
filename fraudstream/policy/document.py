"""The document of a policy version: what decides, as it is stored, exported and applied."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fraudstream.policy.errors import PolicyError

#: Bounds, so that a policy can't make micro-batches slow.
MAX_RULES = 500
MAX_SNOOZES = 1_000
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)


class Action(StrEnum):
    """What a rule asks for, and what is decided."""

    ALLOW = "allow"
    REVIEW = "review"
    BLOCK = "block"


class State(StrEnum):
    """A rule's life. Only shadow and live rules are evaluated, and only live ones decide."""

    DRAFT = "draft"
    SHADOW = "shadow"
    LIVE = "live"
    RETIRED = "retired"


class Kind(StrEnum):
    """What a list holds, and what a rule may be snoozed for."""

    CUSTOMER = "customer"
    DEVICE = "device"
    CARD = "card"
    ADDRESS_CELL = "address_cell"
    EMAIL_HASH = "email_hash"
    IP_COUNTRY = "ip_country"


#: The columns whose values each kind of list holds. Transactions have no e-mail address yet.
COLUMNS_OF_KIND: dict[Kind, tuple[str, ...]] = {
    Kind.CUSTOMER: ("customer_id",),
    Kind.DEVICE: ("device_id",),
    Kind.CARD: ("card_token",),
    Kind.ADDRESS_CELL: ("address_cell",),
    Kind.EMAIL_HASH: (),
    Kind.IP_COUNTRY: ("ip_country", "shipping_country"),
}
#: A rule can be snoozed for one of these.
SNOOZED_KINDS = (Kind.CUSTOMER, Kind.DEVICE, Kind.CARD)


class Snooze(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule doesn't match this customer, device or card until then."""

    kind: Kind
    value: str
    until: datetime


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A condition, in SQL, and what to do when it is true."""

    name: str
    condition: str
    action: Action
    state: State = State.DRAFT
    expires_at: datetime | None = None
    snoozes: list[Snooze] = []


class Thresholds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scores from which on a transaction is reviewed or blocked. `review`: null is the model's own threshold."""

    review: float | None = None
    block: float | None = None


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that decides besides the score. The default decides as the model's threshold does."""

    thresholds: Thresholds = Thresholds()
    rules: list[Rule] = []
    random_review_share: float = 0.0
    approvals_needed: int = 0

    def rule(self, name: str) -> Rule:
        """The rule `name`. Raises PolicyError."""
        for rule in self.rules:
            if rule.name == name:
                return rule
        known = ", ".join(rule.name for rule in self.rules) or "none"
        raise PolicyError(f"there is no rule {name!r}; there are: {known}")

    def with_rule(self, rule: Rule) -> "Policy":
        """The policy with `rule` in the place of the one of its name, or at the end."""
        names = [known.name for known in self.rules]
        if rule.name in names:
            return replace(self, rules=[rule if known.name == rule.name else known for known in self.rules])
        return replace(self, rules=[*self.rules, rule])


def decode(document: object) -> Policy:
    """The policy of a document (from JSON or TOML). Raises PolicyError with the field that can't be used."""
    try:
        policy = msgspec.convert(document, Policy)
    except msgspec.ValidationError as error:
        raise PolicyError(f"the policy can't be used: {error}") from None
    check(policy)
    return policy


def encode(policy: Policy) -> dict[str, object]:
    """The document of `policy`, for JSON."""
    document: dict[str, object] = msgspec.to_builtins(policy)
    return document


def check(policy: Policy) -> None:
    """Checks all but the rules' conditions. Raises PolicyError naming everything that is wrong."""
    if problems := list(_problems(policy)):
        raise PolicyError("; ".join(problems))


def _problems(policy: Policy) -> Iterator[str]:
    for name in ("review", "block"):
        value = getattr(policy.thresholds, name)
        if value is not None and not 0 <= value <= 1:
            yield f"threshold {name} is {value}: it must lie between 0 and 1"
    review, block = policy.thresholds.review, policy.thresholds.block
    if review is not None and block is not None and block < review:
        yield f"threshold block ({block}) is below review ({review})"
    if not 0 <= policy.random_review_share <= 1:
        yield f"random_review_share is {policy.random_review_share}: it must lie between 0 and 1"
    if policy.approvals_needed not in (0, 1):
        yield f"approvals_needed is {policy.approvals_needed}: it can be 0 (nobody) or 1 (another person)"
    if len(policy.rules) > MAX_RULES:
        yield f"there are {len(policy.rules)} rules: at most {MAX_RULES}"
    names = [rule.name for rule in policy.rules]
    yield from (f"the rule {name!r} is there twice" for name in sorted({n for n in names if names.count(n) > 1}))
    for rule in policy.rules:
        yield from _problems_of_rule(rule)


def _problems_of_rule(rule: Rule) -> Iterator[str]:
    if not _NAME.fullmatch(rule.name):
        yield f"{rule.name!r} is no name of a rule: a small letter, then small letters, digits and _, at most 63"
    if rule.expires_at and rule.expires_at.tzinfo is None:
        yield f"rule {rule.name}: expires_at {rule.expires_at} has no time zone"
    if len(rule.snoozes) > MAX_SNOOZES:
        yield f"rule {rule.name} is snoozed for {len(rule.snoozes)}: at most {MAX_SNOOZES}; use a list of exceptions"
    for snooze in rule.snoozes:
        if snooze.kind not in SNOOZED_KINDS:
            yield f"rule {rule.name}: a snooze is for one of {', '.join(SNOOZED_KINDS)}, not {snooze.kind}"
        if snooze.until.tzinfo is None:
            yield f"rule {rule.name}: a snooze until {snooze.until} has no time zone"


def is_over(rule: Rule, now: datetime | None = None) -> bool:
    """True for a rule that has expired."""
    return rule.expires_at is not None and rule.expires_at <= (now or datetime.now(UTC))
