"""The finding of a check."""

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """A finding's weight. Only FAILED makes `doctor --security` fail."""

    OK = "ok"
    FAILED = "failed"
    WARNING = "warning"  # may be meant so: the deployer decides
    UNCHECKED = "unchecked"  # a part is down, or isn't ours to look into


@dataclass(frozen=True)
class Finding:
    """One line: what was found, and for what isn't right how to mend it. Holds no secret."""

    outcome: Outcome
    told: str
    fix: str = ""


def ok(told: str) -> Finding:
    """All that was looked at is right."""
    return Finding(Outcome.OK, told)


def failed(told: str, fix: str) -> Finding:
    """Something is open that should be closed."""
    return Finding(Outcome.FAILED, told, fix)


def warning(told: str, fix: str) -> Finding:
    """Something is open, as the settings want it."""
    return Finding(Outcome.WARNING, told, fix)


def unchecked(told: str, fix: str = "") -> Finding:
    """Something couldn't be looked at."""
    return Finding(Outcome.UNCHECKED, told, fix)
