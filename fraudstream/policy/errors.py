"""Errors of the policy."""

from fraudstream.errors import FraudstreamError


class PolicyError(FraudstreamError):
    """A policy, or a change of it, can't be used."""


class ConditionError(PolicyError):
    """A rule's condition is refused; the message names what isn't allowed, and what is."""


class ChangedMeanwhileError(PolicyError):
    """Somebody else saved a version since the one that a change was made from."""
