"""The commands of `./fraudctl` that check: the machine, who may do what, the code, and how fast it is."""

import json
import os
from typing import Annotated

import typer

from fraudstream.cli.shell import OTHER_ARGUMENTS, execute, exports, tell_beside
from fraudstream.errors import UsageError
from fraudstream.settings import Settings, load_settings

app = typer.Typer()
DOCSTRING = '"""'


@app.command()
def doctor(
    security: Annotated[bool, typer.Option("--security", help="Check who could get in, instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs; with --security.")] = False,
) -> None:
    """Check whether this machine and your servers can run the platform, or with --security whether it is closed.

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

    from fraudstream.local import disks
    from fraudstream.local.doctor import check

    check(settings, servers=True)
    cost = disks.cost(settings)
    typer.echo("This machine is ready.")
    typer.echo(
        f"At {settings.producer.events_per_second:g} events a second a day adds about {cost.day:.1f} GB to the disk, "
        f"until retention takes as much: at about {cost.steady:.0f} GB."
    )


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

    The accounts are those of the settings, and with FRAUDSTREAM_SOURCES the topics of its mappings come along. Nothing
    is sent to Kafka.

    Examples:
      ./fraudctl kafka-acls

      ./fraudctl kafka-acls --json
    """
    from fraudstream.kafka import acls
    from fraudstream.messages.mapping.sources import read_sources

    settings = load_settings()
    kafka, mapped = settings.kafka, [source.topic for source in read_sources(settings.sources)]
    lines = acls.commands(kafka, mapped)
    typer.echo(json.dumps(acls.as_json(kafka, mapped), indent=2) if as_json else "\n".join(lines))


@app.command(context_settings=OTHER_ARGUMENTS)
def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A file of benchmarks/, without .py.")] = "",
) -> None:
    """Run one of benchmarks/, or list them. Those that need no running platform say so.

    Examples:
      ./fraudctl bench exactly_once

      ./fraudctl bench soak --minutes 150 --rate 1500 --dashboards --out day.csv

      ./fraudctl bench soak -- --help
    """
    settings = load_settings()
    known = {path.stem: path for path in sorted((settings.paths.project / "benchmarks").glob("*.py"))}
    if not name:
        for stem, path in known.items():
            first_line = path.read_text().splitlines()[0]
            typer.echo(f"{stem}: {first_line.removeprefix(DOCSTRING)}")
        return
    if name not in known:
        raise UsageError(f"no benchmark {name!r}: choose one of {', '.join(known)}")

    from fraudstream.local.install import environments

    # Of all environments only that of the tests has both what starts servers and what trains.
    environments.install(settings, "dev", tell_beside)
    os.environ.update(exports(settings))
    execute(str(settings.paths.python("dev")), "-P", str(known[name]), *context.args)


@app.command(context_settings=OTHER_ARGUMENTS)
def test(
    context: typer.Context,
    suite: Annotated[str, typer.Argument(help="unit, integration, faults, e2e, browser, compose, or all.")] = "all",
) -> None:
    """Run the tests; `all`: the checks of the code, then all suites but `compose`. Other arguments go to pytest.

    `all` runs two suites at a time, and shows each one's output when it has ended; a suite that fails doesn't stop the
    others. The last lines say how each ended.

    Example: ./fraudctl test unit -k roles

    Example: ./fraudctl test faults --long --kills 200 --seed 7

    Example: ./fraudctl test compose --cluster
    """
    from fraudstream.local.testing import run_tests

    raise typer.Exit(run_tests(load_settings(), suite, context.args, typer.echo))
