"""Measures the served model's health, as the Dag `monitor_model` runs it: `python -m model.health`."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from fraudstream.archive.bounds import covered
from fraudstream.errors import told_in_one_line
from fraudstream.settings import load_settings
from fraudstream.storage.connect import session
from model.health import breaches
from model.health.measuring import Champion, measure
from model.serving.registry import RegistryError, champion


def main(
    run_began: Annotated[
        str, typer.Option(help="when the run began, ISO 8601; empty: now. Tries of one run count once")
    ] = "",
) -> None:
    """Measure the champion's health, keep it, and print the breaches that last as JSON: {"lasting": [...]}.

    Example:
      python -m model.health
    """
    settings, now = load_settings(), datetime.now(UTC)
    if covered(settings) is None:
        typer.echo("nothing is archived yet: archive_transactions begins within an hour")
        typer.echo(json.dumps({"lasting": []}))
        return
    began = datetime.fromisoformat(run_began) if run_began else now
    with session(settings, settings.postgres.reader, name="model_health") as connection:
        current = champion(connection)
    if current is None:
        raise RegistryError("there is no champion: run ./fraudctl up, which registers one")
    served = Champion(current.version, current.features, settings.stream.alert_capacity_ratio)
    figures = list(measure(settings, served, now))
    with session(settings, settings.postgres.writer, name="model_health") as connection:
        lasting = breaches.keep(connection, current.version, figures, now, began)
    typer.echo(f"{len(figures)} figures of model {current.version}")
    for figure in figures:
        if figure.breached:
            typer.echo(f"out of bounds: {figure.told}")
    typer.echo(json.dumps({"lasting": lasting}))


if __name__ == "__main__":
    with told_in_one_line():
        typer.run(main)
