"""The commands of `./fraudctl history`: `python -m model.past import DIR`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from fraudstream.errors import told_in_one_line
from fraudstream.settings import load_settings
from fraudstream.storage.connect import session
from model.past import store
from model.past.importing import Options, import_history

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The past that the platform begins with.",
    epilog="Example: ./fraudctl history import var/history",
)

_EXAMPLES = """
Examples:

  ./fraudctl history import var/history

  ./fraudctl history import var/history --processes 2

  ./fraudctl history import var/history --replace
"""


@app.callback()
def history() -> None:
    """Without this, Typer takes an only command for the program itself."""


@app.command(name="import", epilog=_EXAMPLES)
def import_(
    folder: Annotated[Path, typer.Argument(help="history, as ./fraudctl produce --out writes it")],
    processes: Annotated[int, typer.Option(help="processes that compute profiles; 0: one a core", min=0)] = 0,
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
        options = Options(processes or os.cpu_count() or 1, replace, accept_loss)
        new = import_history(settings, folder, options)
        with session(settings, settings.postgres.reader, name="history import") as connection:
            typer.echo(f"{'imported' if new else 'already imported, nothing is changed'}: {store.summary(connection)}")


if __name__ == "__main__":
    app(prog_name="fraudctl history")
