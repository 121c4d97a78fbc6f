"""Lists, registers, promotes and archives models: `python -m model.serving.registry_cli`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from fraudstream.errors import told_in_one_line
from fraudstream.settings import Settings, load_settings
from fraudstream.storage.connect import session
from model.serving import registry
from model.serving.registry import ModelVersion

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Lists, registers, promotes and archives models. The stream takes a new champion with its next micro-batch.",
    epilog="Example: ./fraudctl models list",
)
Version = Annotated[str, typer.Argument(help="a version that `list` shows")]


@app.command("list")
def list_models() -> None:
    """Show all models, the newest first.

    Example: ./fraudctl models list
    """
    for model in _with_registry(lambda connection, _: registry.versions(connection)):
        precision = model.metrics.get("average_precision")
        shown = "" if precision is None else f"average precision {precision:.3f}"
        typer.echo(f"{model.version:<24} {model.status:<10} {model.trained_at:%Y-%m-%d %H:%M} UTC  {shown}")


@app.command()
def register(folder: Annotated[Path, typer.Argument(help="a folder that `train --out` wrote")]) -> None:
    """Make a model the challenger, which scores in the champion's shadow.

    Example: ./fraudctl models register model
    """
    _tell(_with_registry(lambda connection, settings: registry.register(connection, folder, settings.paths.models)))


@app.command()
def promote(version: Version) -> None:
    """Make a model the champion, and archive the one before.

    Example: ./fraudctl models promote 20261123-691c71d7a4
    """
    _tell(_with_registry(lambda connection, _: registry.promote(connection, version)))


@app.command()
def archive(version: Version) -> None:
    """Take a challenger out of the contest.

    Example: ./fraudctl models archive 20261123-691c71d7a4
    """
    _tell(_with_registry(lambda connection, _: registry.archive(connection, version)))


def _tell(model: ModelVersion) -> None:
    typer.echo(f"{model.version} is {model.status}")


def _with_registry(work: Callable[[psycopg.Connection[Any], Settings], Any]) -> Any:
    """The result of `work`; our errors end the program with one line."""
    with told_in_one_line():
        settings = load_settings()
        with session(settings, settings.postgres.writer, name="fraudctl models") as connection:
            return work(connection, settings)


if __name__ == "__main__":
    app(prog_name="fraudctl models")
