"""The commands of `./fraudctl` that check what it runs on, and who may do what."""

import json
from typing import Annotated

import typer

from fraudstream.errors import UsageError
from fraudstream.settings import Settings, load_settings

app = typer.Typer()


@app.command()
def doctor(
    security: Annotated[bool, typer.Option("--security", help="Check who could get in, instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs; with --security.")] = False,
) -> None:
    """Check whether this machine and your Kafka can run the platform, or with --security whether it is closed.

    Says what to do about each problem. Exit status 1 when there is one.

    Examples:
      ./fraudctl doctor

      ./fraudctl doctor --security
    """
    settings = load_settings()
    if security:
        raise typer.Exit(_examine_security(settings, as_json))
    if as_json:
        raise UsageError("doctor has --json with --security only: ./fraudctl doctor --security --json")

    from fraudstream.local.doctor import check

    check(settings, servers=True)
    typer.echo("This machine is ready.")


def _examine_security(settings: Settings, as_json: bool) -> int:
    from fraudstream.local.security import Outcome, examine

    found = list(examine(settings))
    failures = sum(finding.outcome is Outcome.FAILED for _, finding in found)
    if as_json:
        lines = [
            {"check": check, "outcome": finding.outcome.value, "told": finding.told, "fix": finding.fix}
            for check, finding in found
        ]
        typer.echo(json.dumps({"secure": not failures, "findings": lines}, indent=2))
        return 1 if failures else 0
    for check, finding in found:
        typer.echo(f"{finding.outcome.value:<9}  {check}: {finding.told}" + (f"; {finding.fix}" if finding.fix else ""))
    typer.echo(f"{failures} checks failed." if failures else "Nothing is open that should be closed.")
    return 1 if failures else 0


@app.command("kafka-acls")
def kafka_acls(
    as_json: Annotated[bool, typer.Option("--json", help="For programs, one object a right.")] = False,
) -> None:
    """Print the commands with which your Kafka's administrator grants each of our accounts what it needs, and no more.

    The accounts are those of the settings. Nothing is sent to Kafka.

    Examples:
      ./fraudctl kafka-acls

      ./fraudctl kafka-acls --json
    """
    from fraudstream.kafka import acls

    kafka = load_settings().kafka
    typer.echo(json.dumps(acls.as_json(kafka), indent=2) if as_json else "\n".join(acls.commands(kafka)))
