"""The commands of `./fraudctl history`: `python -m model.past import DIR`, `export FOLDER`, and `simulate`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from fraudstream import failpoints
from fraudstream.errors import UsageError, told_in_one_line
from fraudstream.export.exporting import Progress as Progressing
from fraudstream.export.exporting import export
from fraudstream.export.reading import Period
from fraudstream.mappings.history import Written
from fraudstream.messages.mapping.fields import Kind
from fraudstream.settings import Settings, load_settings
from fraudstream.storage.connect import session
from model.past import store
from model.past.importing import Options, import_history
from model.past.mapped import Files, import_mapped
from model.past.progress import console
from model.past.simulated import begin_with_simulated_past

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The past that the platform begins with, and everything that it knows, given back.",
    epilog="Example: ./fraudctl history import var/history",
)

_PROCESSES = typer.Option(help="processes that compute profiles; 0: one a core", min=0)
_EXAMPLES = """
Examples:

  ./fraudctl history import var/history

  ./fraudctl history import var/history --processes 2

  ./fraudctl history import var/history --replace

  ./fraudctl history import orders.csv --mapping orders.toml --labels disputes.jsonl --labels-mapping disputes.toml
"""
_EXPORT_EXAMPLES = """
Examples:

  ./fraudctl history export /exports/fraudstream

  ./fraudctl history export /exports/2026 --since 2026-01-01 --until 2027-01-01
"""


@app.command(name="import", epilog=_EXAMPLES)
def import_(
    data: Annotated[
        Path, typer.Argument(help="history, as ./fraudctl produce --out writes it; with --mapping: a shop's own files")
    ],
    mapping: Annotated[Path | None, typer.Option(help="mapping of DATA (docs/mapping.md)")] = None,
    labels: Annotated[Path | None, typer.Option(help="with --mapping: a shop's own file of labels")] = None,
    labels_mapping: Annotated[Path | None, typer.Option(help="mapping of the labels")] = None,
    browse: Annotated[Path | None, typer.Option(help="with --mapping: a shop's own browsing events")] = None,
    browse_mapping: Annotated[Path | None, typer.Option(help="mapping of the browsing events")] = None,
    processes: Annotated[int, _PROCESSES] = 0,
    replace: Annotated[
        bool, typer.Option("--replace", help="put it in the place of another past, or of the profiles of now")
    ] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="with --replace: go on without messages that Kafka no longer holds")
    ] = False,
) -> None:
    """Begin with a history: it becomes customers' profiles, entity risk, and the dashboards' past.

    The stream begins a new checkpoint with the profiles, within a minute. A repeat changes nothing, and an import that
    fails or is interrupted leaves everything as it was. The history should end where Kafka's messages begin.
    """
    with told_in_one_line():
        settings = load_settings()
        failpoints.arm(settings.stream.failpoints)
        options = Options(processes or os.cpu_count() or 1, replace, accept_loss)
        if mapping is None and (labels or labels_mapping or browse or browse_mapping):
            raise UsageError("--labels and --browse are files of a shop's own form: say --mapping FILE of DATA, too")
        if mapping is None:
            new = import_history(settings, data, options)
        else:
            files = (
                Files("--mapping", data, mapping, Kind.TRANSACTION),
                Files("--labels", labels, labels_mapping, Kind.LABEL),
                Files("--browse", browse, browse_mapping, Kind.BROWSE),
            )
            new, written = import_mapped(settings, files, options)
            _tell_of(written)
        _tell("imported" if new else "already imported, nothing is changed", settings)


@app.command(name="export", epilog=_EXPORT_EXAMPLES)
def export_(
    folder: Annotated[
        Path, typer.Argument(help="new folder, or an export of this platform that goes on or is renewed")
    ],
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="first day, UTC; else all")] = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="day before which it ends, UTC")] = None,
) -> None:
    """Give everything back as Parquet files: transactions, alerts, labels, verdicts, rollups (docs/export.md).

    A file a day, and a manifest with rows, sums and SHA-256 of each. The platform may run meanwhile. An export that was
    interrupted goes on with the same command, and a repeat writes the days that changed.
    """
    with told_in_one_line():
        if since and until and since >= until:
            raise UsageError(f"--until {until:%Y-%m-%d} must be after --since {since:%Y-%m-%d}")
        settings = load_settings()
        failpoints.arm(settings.stream.failpoints)
        period = Period(since.date() if since else None, until.date() if until else None)
        with _progress() as show:
            outcome = export(settings, folder.resolve(), period, show)
        typer.echo(outcome.told)


@app.command()
def simulate(processes: Annotated[int, _PROCESSES] = 0) -> None:
    """Begin with the simulated shop's own past, as `up` does; where there is anything already, nothing is changed.

    FRAUDSTREAM_PRODUCER__PAST_DAYS and …PAST_TRANSACTIONS say how much of it.
    """
    with told_in_one_line():
        settings = load_settings()
        if begin_with_simulated_past(settings, processes or os.cpu_count() or 1):
            _tell("simulated and imported", settings)
        else:
            typer.echo("nothing is changed: the platform isn't empty, or is to begin without a past")


@contextmanager
def _progress() -> Iterator[Progressing]:
    """Shows the rows of each dataset, on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def show(dataset: str, done: int, rows: int) -> None:
            if rows and dataset not in tasks:
                tasks[dataset] = progress.add_task(dataset, total=rows)
            if rows:
                progress.update(tasks[dataset], completed=done)

        yield show


def _tell_of(written: Written) -> None:
    typer.echo(written.told)
    for path, refused in written.refused.items():
        typer.echo("".join(f"refused of {path}: {line}\n" for line in refused.lines()), nl=False)


def _tell(what: str, settings: Settings) -> None:
    with session(settings, settings.postgres.reader, name="history") as connection:
        typer.echo(f"{what}: {store.summary(connection)}")


if __name__ == "__main__":
    app(prog_name="fraudctl history")
