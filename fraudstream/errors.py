"""Errors that a person can act on, and the one way in which commands tell them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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


@contextmanager
def told_in_one_line(*others: type[Exception]) -> Iterator[None]:
    """Ends the process with exit status 1 and one line on standard error for an error of ours, or one of `others`."""
    told: tuple[type[Exception], ...] = (FraudstreamError, *others)
    try:
        yield
    except told as error:
        tell(error)
        sys.exit(1)


def tell(error: BaseException) -> None:
    """Writes an error's line."""
    print(f"fraudctl: {error}", file=sys.stderr)  # noqa: T201 - every command fails in this form
