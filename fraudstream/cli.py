"""The command line, `./fraudctl`. Commands only parse, call and print; each imports what it needs when it runs."""

import json
import os
import shlex
import shutil
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from fraudstream.check_commands import app as checks
from fraudstream.containers.commands import app as containers
from fraudstream.errors import FraudstreamError, UsageError
from fraudstream.recovery_commands import app as recovery
from fraudstream.settings import Settings, load_settings

if TYPE_CHECKING:
    from fraudstream.local.status import Status

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Runs Fraudstream here: Kafka, PostgreSQL, Airflow, Spark and Superset. Start with `./fraudctl up`.",
)
app.add_typer(recovery)
app.add_typer(checks)
app.add_typer(containers, name="container", hidden=True)
DOCSTRING = '"""'
#: For commands that hand all their arguments, --help too, to another program.
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
#: Benchmarks that start servers of their own, which only this environment can.
WITH_OWN_SERVERS = frozenset({"backlog", "cluster", "soak", "upgrade"})
KEPT_BY_RESET = frozenset({"venvs", "jars"})


def main() -> None:
    """The entry point: a failure is one line and exit status 1; a defect of ours leaves its traceback in a log."""
    sys.excepthook = _report
    # Not app(): Typer would put its own hook in the place of ours.
    typer.main.get_command(app)(prog_name="fraudctl")


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
    names: Annotated[list[str] | None, typer.Argument(help="spark, airflow, superset, kafka, spark-kafka.")] = None,
) -> None:
    """Make environments and fetch jars, all or those named, and start nothing: for images, and before `up`.

    Example: ./fraudctl install spark spark-kafka
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
    name: Annotated[str, typer.Argument(help="A component, such as kafka, superset, stream or producer.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
) -> None:
    """Show a component's log.

    Example: ./fraudctl logs stream -f
    """
    folder = load_settings().paths.logs
    known = {path.stem: path for path in sorted(folder.glob("*.log"))}
    if name not in known:
        raise UsageError(f"no log {name!r}: choose one of {', '.join(known) or '(none yet: run ./fraudctl up)'}")
    _execute("tail", "-n", str(lines), *(["-F"] if follow else []), str(known[name]))


@app.command()
def env() -> None:
    """Print shell exports with the platform's addresses.

    Example: eval "$(./fraudctl env)"
    """
    for name, value in _exports(load_settings()).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _exports(settings: Settings) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP": settings.kafka.bootstrap,
        "POSTGRES_DSN": settings.writer_dsn,
        "AIRFLOW_URL": settings.airflow_url,
        "SUPERSET_URL": settings.superset_url,
        "CREDENTIALS_FILE": str(settings.paths.credentials),
        "SPARK_PYTHON": str(settings.paths.python("spark")),
    }


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
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
    _execute(str(binary("psql")), "--dbname", settings.dsn(role), *context.args)


@app.command(context_settings=PASS_THROUGH)
def produce(context: typer.Context) -> None:
    """Simulate the shop: into Kafka, or into files with --out. Arguments go to the simulator (--help lists them).

    Example: ./fraudctl produce --out history --transactions 100000
    """
    _spark_python("-m", "fraudstream.simulator", "produce", *context.args)


@app.command(context_settings=PASS_THROUGH)
def train(context: typer.Context) -> None:
    """Train a model on a history that `produce --out` wrote. Arguments go to the training (--help lists them).

    Example: ./fraudctl train --history history --out model
    """
    _spark_python("-m", "model.train", *context.args)


@app.command(context_settings=PASS_THROUGH)
def evaluate(context: typer.Context) -> None:
    """Train and test on your own labelled history, as time would have gone. Arguments go to it (--help lists them).

    Example: ./fraudctl evaluate --transactions history.csv --json
    """
    _spark_python("-m", "model.external", *context.args)


@app.command(context_settings=PASS_THROUGH)
def models(context: typer.Context) -> None:
    """List, register, promote or archive models. Arguments go to the registry (--help lists them).

    Example: ./fraudctl models list
    """
    _spark_python("-m", "model.versions", *context.args)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A file of benchmarks/, without .py.")] = "",
) -> None:
    """Run one of benchmarks/, or list them. Those that need no running platform say so.

    Examples: ./fraudctl bench exactly_once; ./fraudctl bench soak -- --help
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
    os.environ.update(_exports(settings))
    if name in WITH_OWN_SERVERS:
        _execute(sys.executable, "-P", str(known[name]), *context.args)
    _spark_python(str(known[name]), *context.args)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(
    context: typer.Context,
    suite: Annotated[str, typer.Argument(help="unit, integration, faults, e2e, browser, compose, or all.")] = "all",
) -> None:
    """Run the tests; `all`: the checks of the code, then all suites but `compose`. Other arguments go to pytest.

    Example: ./fraudctl test unit -k roles

    Example: ./fraudctl test faults --long --kills 200 --seed 7

    Example: ./fraudctl test compose --cluster
    """
    from fraudstream.local.testing import run_tests

    raise typer.Exit(run_tests(load_settings(), suite, context.args, typer.echo))


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
                _delete(path)
    typer.echo("All data is deleted.")


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, FraudstreamError):
        print(f"fraudctl: {error}", file=sys.stderr)  # noqa: T201 - the command line speaks here
        return
    log = load_settings().paths.logs / "fraudctl.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        traceback.print_exception(kind, error, trace, file=file)
    print(f"fraudctl: unexpected {kind.__name__}: {error}; the traceback is in {log}", file=sys.stderr)  # noqa: T201


def _execute(program: str, *arguments: str) -> None:
    """Becomes another program."""
    sys.stdout.flush()
    os.execvp(program, [program, *arguments])  # noqa: S606 - no shell is wanted


def _spark_python(*arguments: str) -> None:
    python = load_settings().paths.python("spark")
    if not python.exists():
        raise UsageError(f"the spark environment is missing ({python}): run ./fraudctl up first")
    _execute(str(python), "-P", *arguments)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _print_addresses(settings: Settings) -> None:
    typer.echo(
        f"\nFraudstream is up.\n"
        f"  Dashboards   {settings.superset_url}\n"
        f"  Airflow      {settings.airflow_url}\n"
        f"  Kafka        {settings.kafka.bootstrap}\n"
        f"  PostgreSQL   {settings.postgres.address}:{settings.postgres.port} (./fraudctl psql)\n"
        f"  Sign in with the users and passwords in {settings.paths.credentials}\n"
        f"  What runs: ./fraudctl status    Stop: ./fraudctl down"
    )


def _print_status(found: "Status") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("component", "state", "pid", "address", box=None)
    for name, component in found.components.items():
        table.add_row(name, component.state, str(component.pid or ""), component.url or "")
    console.print(table)
    for title, figures in (("stream", found.as_json()["stream"]), ("totals", found.as_json()["totals"])):
        shown = ", ".join(f"{name} {'-' if value is None else value}" for name, value in figures.items())
        console.print(f"\n[bold]{title}[/bold]  {shown}", soft_wrap=True)
    books = found.reconciliation
    if books.age_s is not None:
        told = f"compared {books.age_s:.0f} s ago, {books.batches} batches, differences {books.differences}"
        console.print(f"\n[bold]books[/bold]  {told}", soft_wrap=True)
    for problem in found.problems:
        console.print(f"[red]✗[/red] {problem}", soft_wrap=True)


if __name__ == "__main__":
    main()
