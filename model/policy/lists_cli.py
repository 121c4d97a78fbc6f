"""`./fraudctl lists`: what rules ask for by name."""

from pathlib import Path
from typing import Annotated

import typer

from fraudstream.policy import lists
from fraudstream.policy.document import Kind
from fraudstream.policy.errors import PolicyError
from fraudstream.policy.lists import Entry
from model.policy.shared import For, Who, app_of, desk, until

app = app_of(
    "Lists of customers, devices, cards, places and countries, for rules: device_id IN list('blocked_devices').",
    "./fraudctl lists add blocked_devices d-17 --kind device --for 30d --reason 'three chargebacks'",
)
Name = Annotated[str, typer.Argument(help="the list's name")]
Values = Annotated[list[str] | None, typer.Argument(help="what it holds: ids, countries or cells")]
From = Annotated[Path | None, typer.Option("--from", help="a file with a value a line, besides")]


@app.command()
def add(
    name: Name,
    values: Values = None,
    kind: Annotated[Kind | None, typer.Option(help="makes the list when there is none")] = None,
    reason: Annotated[str, typer.Option(help="why, for those who read it later")] = "",
    duration: For = "",
    file: From = None,
    who: Who = "",
) -> None:
    """Add entries; they are at work with the next micro-batch. A value that is there already is replaced.

    Example: ./fraudctl lists add blocked_devices d-17 --kind device --for 30d --reason "three chargebacks"
    """
    with desk(who) as at:
        if kind and name not in lists.kinds(at.connection):
            lists.create(at.connection, name, kind, who=at.who)
        expires_at = until(duration)
        added = lists.add(
            at.connection, name, [Entry(value, reason, expires_at) for value in _values(values, file)], who=at.who
        )
        typer.echo(f"{added} in {name}, at work with the next micro-batch")


@app.command()
def remove(name: Name, values: Values = None, file: From = None, who: Who = "") -> None:
    """Remove entries, with the next micro-batch. They are kept, marked as removed.

    Example: ./fraudctl lists remove blocked_devices d-17
    """
    with desk(who) as at:
        typer.echo(f"{lists.remove(at.connection, name, _values(values, file), who=at.who)} removed from {name}")


@app.command()
def show(name: Annotated[str, typer.Argument(help="a list; without it all lists, and how long they are")] = "") -> None:
    """Show the lists, or a list's newest 1,000 entries at work.

    Example: ./fraudctl lists show blocked_devices
    """
    with desk() as at:
        if not name:
            for found in lists.summaries(at.connection):
                typer.echo(f"{found.name:<24} {found.kind.value:<13} {found.active:>8}  {found.description}")
            return
        for entry in lists.entries(at.connection, name):
            end = f"until {entry.expires_at:%Y-%m-%d %H:%M} UTC" if entry.expires_at else "for good"
            typer.echo(f"{entry.value:<32} {end:<26} {entry.added_by}, {entry.added_at:%Y-%m-%d}: {entry.reason}")


def _values(values: list[str] | None, file: Path | None) -> list[str]:
    found = [*(values or ())]
    if file:
        try:
            found += [line.strip() for line in file.read_text().splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyError(f"{file} can't be read: {error}") from None
    if not found:
        raise PolicyError("say which values, or a file with --from")
    return found


if __name__ == "__main__":
    app(prog_name="fraudctl lists")
