"""What the forms of rules, lists and thresholds send, read and checked."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from desk.decisions import RefusedError
from fraudstream.policy.document import SNOOZED_KINDS, Action, Kind, Rule, Snooze, Thresholds
from fraudstream.policy.lists import Entry

#: The longest time that something may last, and the most entries that a form may add.
MOST_DAYS, MOST_ENTRIES = 3660, 1_000


def rule_of(form: Mapping[str, str], name: str) -> Rule:
    """The rule that a form sends. Raises RefusedError."""
    return Rule(
        name=name.strip(),
        condition=form.get("condition", "").replace("\r\n", "\n").strip(),
        action=_choice(Action, form.get("action", ""), "what the rule should do"),
        expires_at=_last_day(form.get("last_day", "")),
    )


def snooze_of(form: Mapping[str, str]) -> Snooze:
    """The snooze that a form sends. Raises RefusedError."""
    value = form.get("value", "").strip()
    if not value:
        raise RefusedError("Say which customer, device or card the rule should spare.")
    kind = _choice(Kind, form.get("kind", ""), "whether it is a customer, a device or a card")
    if kind not in SNOOZED_KINDS:
        raise RefusedError("A rule can spare a customer, a device or a card.")
    return Snooze(kind=kind, value=value, until=datetime.now(UTC) + timedelta(days=days_of(form.get("days", ""))))


def days_of(typed: str) -> int:
    """A number of days that somebody typed. Raises RefusedError."""
    given = typed.strip()
    if not (given.isascii() and given.isdecimal() and 1 <= int(given[:9]) <= MOST_DAYS):
        raise RefusedError(f"{given or 'Nothing'} is no number of days: type one from 1 to {MOST_DAYS}.")
    return int(given)


def last_day(rule: Rule) -> str:
    """The last day of a rule, as a form's field of dates holds it; empty when it has none."""
    return (
        "" if rule.expires_at is None else (rule.expires_at.astimezone(UTC) - timedelta(seconds=1)).date().isoformat()
    )


def _last_day(typed: str) -> datetime | None:
    """The end of a day (UTC) that somebody typed; None for none."""
    if not typed.strip():
        return None
    try:
        day = date.fromisoformat(typed.strip())
        end = datetime.combine(day, time(), UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise RefusedError(f"{typed} is no day: write it as 2027-03-31.") from None
    if end <= datetime.now(UTC):
        raise RefusedError(f"The last day {day} is over: choose a later one, or none.")
    return end


def _choice(kind: Any, given: str, what: str) -> Any:
    try:
        return kind(given)
    except ValueError:
        raise RefusedError(f"Say {what}.") from None


def entries_of(form: Mapping[str, str]) -> list[Entry]:
    """The entries that a form sends, with their reason and the days that they last. Raises RefusedError."""
    values = list(dict.fromkeys(line.strip() for line in form.get("values", "").splitlines() if line.strip()))
    if not 1 <= len(values) <= MOST_ENTRIES:
        raise RefusedError(f"Type between 1 and {MOST_ENTRIES:,} values, one a line.")
    reason, days = form.get("reason", "").strip(), form.get("days", "").strip()
    if not reason:
        raise RefusedError("Say why, for those who read it later.")
    expires_at = datetime.now(UTC) + timedelta(days=days_of(days)) if days else None
    return [Entry(value, reason, expires_at) for value in values]


def thresholds_of(review: str, block: str) -> Thresholds:
    """The thresholds that somebody typed; nothing is the model's own, and no block. Raises RefusedError."""
    return Thresholds(review=_score(review, "to review"), block=_score(block, "to block"))


def share_of(typed: str) -> float:
    """The share (0 to 1) that somebody typed in per cent; nothing is none. Raises RefusedError."""
    given = typed.strip().replace(",", ".").removesuffix("%").strip() or "0"
    try:
        percent = float(given)
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise RefusedError(f"{typed} is no share in per cent: type a number from 0 to 100, or nothing.")
    return percent / 100


def approvals_of(given: str) -> int:
    """How many others have to approve a version, as somebody chose. Raises RefusedError."""
    if given not in {"0", "1"}:
        raise RefusedError("Choose who approves a change: nobody, or another person.")
    return int(given)


def _score(typed: str, what: str) -> float | None:
    given = typed.strip().replace(",", ".")
    if not given:
        return None
    try:
        score = float(given)
    except ValueError:
        score = -1.0
    if not 0 <= score <= 1:
        raise RefusedError(f"{typed} is no score {what} from: type one from 0 to 1, or nothing.")
    return score
