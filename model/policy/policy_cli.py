"""`./fraudctl policy`: versions of the policy, shown, compared, kept in files, approved and rolled back."""

import difflib
from pathlib import Path
from typing import Annotated

import typer

from fraudstream.policy import files, versions
from fraudstream.policy.versions import PolicyVersion
from model.policy.shared import Comment, Who, app_of, desk, tell

app = app_of(
    "The policy: thresholds, rules and random review, in versions. The newest approved version decides.",
    "./fraudctl policy show",
)
Number = Annotated[int | None, typer.Argument(help="a version; without it the one at work")]


@app.command()
def show(number: Number = None) -> None:
    """Show a version, and the ones before it.

    Example: ./fraudctl policy show
    """
    with desk() as at:
        shown = versions.at_work(at.connection) if number is None else versions.version(at.connection, number)
        typer.echo(files.as_toml(shown.policy))
        working = versions.at_work(at.connection).version
        for found in versions.history(at.connection):
            typer.echo(_line(found, working))


@app.command()
def diff(
    before: Annotated[int | None, typer.Argument(help="a version; without it the one at work")] = None,
    after: Annotated[int | None, typer.Argument(help="another; without it the newest")] = None,
) -> None:
    """Show what differs between two versions.

    Example: ./fraudctl policy diff 3 4
    """
    with desk() as at:
        first = versions.at_work(at.connection) if before is None else versions.version(at.connection, before)
        second = versions.newest(at.connection) if after is None else versions.version(at.connection, after)
        old, new = (files.as_toml(found.policy).splitlines() for found in (first, second))
        for line in difflib.unified_diff(
            old, new, f"version {first.version}", f"version {second.version}", lineterm="", n=1
        ):
            typer.echo(line)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="a file to write, .toml or .json")],
    number: Annotated[int | None, typer.Option("--version", help="a version; without it the one at work")] = None,
) -> None:
    """Write a version to a file, to keep it in a repository.

    Example: ./fraudctl policy export policy.toml
    """
    with desk() as at:
        found = versions.at_work(at.connection) if number is None else versions.version(at.connection, number)
        files.write(found.policy, file)
        typer.echo(f"{file}: policy version {found.version}")


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="a file that `export` wrote, or one like it")],
    comment: Comment = "",
    who: Who = "",
) -> None:
    """Make a file the newest version. Nothing is saved when it is what the newest version says already.

    Example: ./fraudctl policy apply policy.toml --comment "lower the threshold for gift cards"
    """
    with desk(who) as at:
        policy, latest = files.read(file), versions.newest(at.connection)
        if policy == latest.policy:
            typer.echo(f"policy version {latest.version} says this already")
            return
        tell(at.apply(policy, comment or f"apply {file.name}", latest.version))


@app.command()
def approve(number: Annotated[int, typer.Argument(help="the version")], who: Who = "") -> None:
    """Approve a version that somebody else made, where the policy at work asks for that.

    Example: ./fraudctl policy approve 7
    """
    with desk(who) as at:
        tell(versions.approve(at.connection, number, at.who))


@app.command()
def rollback(
    number: Annotated[int, typer.Argument(help="the version to go back to; 0: the model's threshold alone")],
    comment: Comment = "",
    who: Who = "",
) -> None:
    """Make an earlier version the newest one again.

    Example: ./fraudctl policy rollback 3
    """
    with desk(who) as at:
        tell(versions.roll_back(at.connection, number, author=at.who, comment=comment))


def _line(found: PolicyVersion, working: int) -> str:
    state = "at work" if found.version == working else "" if found.is_approved else "waits for approval"
    approved = f", approved by {found.approver}" if found.approver else ""
    return (
        f"{found.version:>5}  {found.created_at:%Y-%m-%d %H:%M} UTC  {found.author}{approved}: {found.comment}  {state}"
    )


if __name__ == "__main__":
    app(prog_name="fraudctl policy")
