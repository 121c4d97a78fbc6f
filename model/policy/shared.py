"""Shared by the commands of the policy: the connection, who asks, and how times are typed."""

import getpass
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from fraudstream import failpoints
from fraudstream.errors import UsageError, told_in_one_line
from fraudstream.policy.changes import Desk
from fraudstream.policy.versions import PolicyVersion
from fraudstream.settings import load_settings
from fraudstream.storage.connect import session
from model.policy.columns import COLUMNS

_DURATION = re.compile(r"([1-9][0-9]{0,4})([mhdw])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Who = Annotated[str, typer.Option("--by", help="who does it, for the audit log; your user name by default")]
For = Annotated[str, typer.Option("--for", help="for how long, such as 30d, 12h or 2w; without it: for good")]
Comment = Annotated[str, typer.Option("--comment", help="why, for those who read it later")]


def app_of(text: str, example: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help=text,
        epilog=f"Example: {example}",
    )


@contextmanager
def desk(who: str = "") -> Iterator[Desk]:
    """Where `who` changes the policy; one of our errors ends the program with one line."""
    with told_in_one_line():
        settings = load_settings()
        failpoints.arm(settings.stream.failpoints)
        with session(settings, settings.postgres.writer, name="fraudctl policy") as connection:
            yield Desk(connection, COLUMNS, who or getpass.getuser())


def until(duration: str) -> datetime | None:
    """The time after `duration` from now; None for an empty one. Raises UsageError."""
    if not duration:
        return None
    found = _DURATION.fullmatch(duration)
    if not found:
        raise UsageError(f"{duration!r} is no duration: write a number and m, h, d or w, such as 30d")
    return datetime.now(UTC) + timedelta(**{_UNITS[found[2]]: int(found[1])})


def tell(version: PolicyVersion) -> None:
    """Says what became of a change."""
    if version.is_approved:
        typer.echo(f"policy version {version.version} is at work with the next micro-batch: {version.comment}")
    else:
        approve = f"./fraudctl policy approve {version.version}"
        typer.echo(f"policy version {version.version} waits for another person: {approve}")
