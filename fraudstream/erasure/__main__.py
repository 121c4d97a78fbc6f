"""The command that erases a customer, as the Dag `erase_customer` and `./fraudctl erase` run it."""

import getpass
from typing import Annotated

import typer

from fraudstream import failpoints
from fraudstream.erasure import certificate
from fraudstream.erasure import erase as erasing
from fraudstream.erasure.certificate import ErasureError
from fraudstream.erasure.erase import Request
from fraudstream.errors import told_in_one_line
from fraudstream.settings import Settings, load_settings
from fraudstream.storage.connect import session


def main(
    customer: Annotated[str, typer.Argument(help="The customer's id, as in transactions.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; such as the request's number. Stays.")] = "",
    approved_by: Annotated[str, typer.Option("--approved-by", help="Who decided it; nobody named: you.")] = "",
    requested_by: Annotated[str, typer.Option("--requested-by", help="Who asked for it; nobody named: you.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it, without asking for the id once more.")] = False,
    wait: Annotated[float, typer.Option("--wait", help="So many seconds for the stream to forget the profile.")] = 60,
    certificates: Annotated[bool, typer.Option("--certificates", help="Show the certificates so far.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Erase all erased ones once more: after a restore.")] = False,
) -> None:
    """Erase a customer: rows, archive, snapshots, histories and the stream's profile. It can't be undone.

    Sums stay; what can't be reached at once is named with when it goes. A repeat goes on where the last run ended.

    Examples:
      ./fraudctl erase c-1042 --reason "request 2026-118, identity checked"

      ./fraudctl erase --certificates
    """
    settings = load_settings()
    failpoints.arm(settings.stream.failpoints)
    if certificates:
        _show(settings)
    elif again:
        found = erasing.again(settings)
        typer.echo(", ".join(f"{place}: {count}" for place, count in sorted(found.items())) or "nobody had come back")
    else:
        me = getpass.getuser()
        request = Request(customer, reason, requested_by or me, approved_by or me)
        _confirm(customer, asked=not yes)
        done = erasing.erase(settings, request, wait)
        for line in certificate.told(done, settings):
            typer.echo(line)


def _confirm(customer: str, *, asked: bool) -> None:
    """Raises ErasureError unless the customer's id is typed once more."""
    if not asked:
        return
    typed = typer.prompt(f"All of customer {customer} is erased for good. Type the id once more", default="")
    if typed != customer:
        raise ErasureError("the ids differ: nothing was erased")


def _show(settings: Settings) -> None:
    with session(settings, settings.postgres.reader, name="fraudctl erase") as connection:
        found = certificate.read(connection)
    for each in found:
        for line in certificate.told(each, settings):
            typer.echo(line)
    if not found:
        typer.echo("no customer was erased")


if __name__ == "__main__":
    with told_in_one_line():
        typer.run(main)
