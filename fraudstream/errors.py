"""Errors that a person can act on."""


class FraudstreamError(Exception):
    """Base of the platform's own errors. The message says what, which value, and what to do; the CLI prints only it."""


class RefusedError(FraudstreamError):
    """Going on would lose or repeat something, and trying again doesn't help: a person has to decide."""


class ReplacedError(FraudstreamError):
    """Another process does this one's work now."""


class SettingsError(FraudstreamError):
    """A setting has a value that can't be used; the message names the setting."""


class UsageError(FraudstreamError):
    """A command was called in a way that it can't serve."""
