"""The commands of `./fraudctl` that start, stop and show the platform."""

import json
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from fraudstream.cli.shell import OTHER_ARGUMENTS, execute, exports
from fraudstream.errors import UsageError
from fraudstream.files import delete
from fraudstream.settings import Settings, load_settings

if TYPE_CHECKING:
    from fraudstream.local.status import Status

app = typer.Typer()
KEPT_BY_RESET = frozenset({"venvs", "jars"})


@app.command()
def up() -> None:
    """Set up what is missing, start everything, and wait until scored data is on the dashboards.

    Example: ./fraudctl up
    """
    from rich.console import Console

    from fraudstream.local import steps
    from fraudstream.local import up as ups
    from fraudstream.local.lock import exclusive

    settings = load_settings()
    with exclusive(settings, "up"), steps.Display(Console()) as display:
        for line in ups.prepare_machine(settings):
            display.note(line)
        steps.run(ups.steps(settings), display)
    _print_addresses(settings)


@app.command()
def install(
    names: Annotated[
        list[str] | None, typer.Argument(help="spark, airflow, superset, kafka, spark-files, spark-kafka.")
    ] = None,
) -> None:
    """Make environments and fetch jars, all or those named, and start nothing: for images, and before `up`.

    Example: ./fraudctl install spark spark-files spark-kafka
    """
    from fraudstream.local.install import environments, jars

    settings = load_settings()
    known = (*environments.RUNTIMES, *jars.ROOTS)
    wanted = names or known
    if unknown := set(wanted) - set(known):
        raise UsageError(f"nothing to install is called {min(unknown)!r}: choose of {', '.join(known)}")
    for name in wanted:
        typer.echo(f"installing {name}")
        if name in jars.ROOTS:
            jars.install(settings, name)
        else:
            environments.install(settings, name, typer.echo)


@app.command()
def down() -> None:
    """Stop everything. Data stays: `up` carries on where it was.

    Example: ./fraudctl down
    """
    from fraudstream.local.down import down as stop_all
    from fraudstream.local.lock import exclusive

    settings = load_settings()
    with exclusive(settings, "down"):
        stop_all(settings, lambda line: typer.echo(f"stopping {line}"))
    typer.echo("Everything is stopped.")


@app.command()
def create_topic(
    name: Annotated[str, typer.Argument(help="As the shop's program calls it.")],
) -> None:
    """Create a topic of your shop's on the platform's Kafka, with the broker's time, for your messages to come.

    Example: ./fraudctl create-topic shop.orders
    """
    from fraudstream.kafka import topics

    settings = load_settings()
    created = topics.create(settings.kafka, [name])
    typer.echo(f"{name} {'is created' if created else 'was there already, and stays as it is'}")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Show what runs, the stream's speed and the totals. Exit status 1 when something is wrong.

    Example: ./fraudctl status --json
    """
    from fraudstream.local.status import collect

    found = collect(load_settings())
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        _print_status(found)
    raise typer.Exit(0 if found.healthy else 1)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="A part, such as kafka, superset, stream or producer.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
) -> None:
    """Show a part's log.

    Example: ./fraudctl logs stream -f
    """
    folder = load_settings().paths.logs
    known = {path.stem: path for path in sorted(folder.glob("*.log"))}
    if name not in known:
        raise UsageError(f"no log {name!r}: choose one of {', '.join(known) or '(none yet: run ./fraudctl up)'}")
    execute("tail", "-n", str(lines), *(["-F"] if follow else []), str(known[name]))


@app.command()
def env() -> None:
    """Print shell exports with the platform's addresses.

    Example: eval "$(./fraudctl env)"
    """
    for name, value in exports(load_settings()).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command(context_settings=OTHER_ARGUMENTS)
def psql(
    context: typer.Context,
    write: Annotated[bool, typer.Option("--write", help="As the writer; else as the read-only role.")] = False,
) -> None:
    """Open psql on the platform's database; all other arguments go to psql.

    Example: ./fraudctl psql -c 'SELECT count(*) FROM fraud.scored_transactions'
    """
    from fraudstream.local.parts.postgres import binary

    settings = load_settings()
    role = settings.postgres.writer if write else settings.postgres.reader
    execute(str(binary("psql")), "--dbname", settings.dsn(role), *context.args)


@app.command()
def reset(yes: Annotated[bool, typer.Option("--yes", help="Really delete.")] = False) -> None:
    """Stop everything and delete all data and secrets. Environments and jars stay.

    Example: ./fraudctl reset --yes
    """
    from fraudstream.local.down import down as stop_all
    from fraudstream.local.lock import exclusive

    settings = load_settings()
    if not yes:
        raise UsageError(f"reset deletes all data under {settings.paths.var}: say --yes if you mean it")
    with exclusive(settings, "reset"):
        stop_all(settings, lambda line: typer.echo(f"stopping {line}"))
        for path in settings.paths.var.iterdir():
            if path.name not in KEPT_BY_RESET:
                delete(path)
    typer.echo("All data is deleted.")


def _print_addresses(settings: Settings) -> None:
    typer.echo(
        f"\nFraudstream is up.\n"
        f"  Dashboards   {settings.superset_url}\n"
        f"  Airflow      {settings.airflow_url}\n"
        f"  Kafka        {settings.kafka.bootstrap}\n"
        f"  PostgreSQL   {settings.postgres.address}:{settings.postgres.port} (./fraudctl psql)\n"
        f"  Sign in with the users and passwords in {settings.paths.credentials};\n"
        f"  at the desk as `analyst`, with the password in {settings.paths.superset / 'analyst_password'}\n"
        f"  What runs: ./fraudctl status    Stop: ./fraudctl down"
    )


def _print_status(found: "Status") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("part", "state", "pid", "address", box=None)
    for name, part in found.components.items():
        table.add_row(name, part.state, str(part.pid or ""), part.url or "")
    console.print(table)
    for title, figures in (("stream", found.as_json()["stream"]), ("totals", found.as_json()["totals"])):
        shown = ", ".join(f"{name} {'-' if value is None else value}" for name, value in figures.items())
        console.print(f"\n[bold]{title}[/bold]  {shown}", soft_wrap=True)
    books = found.reconciliation
    if books.age_s is not None:
        whole = "not yet" if books.whole_age_s is None else f"within {books.whole_age_s / 3600:.1f} h"
        told = f"compared {books.age_s:.0f} s ago, everything {whole}, open differences {books.differences}"
        console.print(f"\n[bold]books[/bold]  {told}", soft_wrap=True)
    for problem in found.problems:
        console.print(f"[red]✗[/red] {problem}", soft_wrap=True)
