"""Measures the served model's health, as the Dag `monitor_model` runs it: `python -m model.health`."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from fraudstream.archive.bounds import covered
from fraudstream.errors import told_in_one_line
from fraudstream.messages.contracts import TYPED_TIME_FORMATS
from fraudstream.settings import load_settings
from model.health.run import Run, measure_champion


def main(
    run_began: Annotated[
        str, typer.Option(help="when the run began, ISO 8601; empty: now. Tries of one run count once")
    ] = "",
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=TYPED_TIME_FORMATS,
            help="UTC time of the past to measure as of, with the labels that were known then; nothing is kept of it",
        ),
    ] = None,
    as_labelled: Annotated[
        bool,
        typer.Option(
            "--as-labelled",
            help="count labels from when they were made, not from when Kafka got them: for events that were sent late",
        ),
    ] = False,
) -> None:
    """Measure the champion's health, keep it, and print the breaches that last as JSON: {"lasting": [...]}.

    Examples:
      python -m model.health

      python -m model.health --as-of 2026-11-04T12:00:00Z
    """
    settings, now = load_settings(), datetime.now(UTC)
    if covered(settings) is None:
        typer.echo("nothing is archived yet: archive_transactions begins within an hour")
        typer.echo(json.dumps({"lasting": []}))
        return
    began = datetime.fromisoformat(run_began) if run_began else now
    moment = as_of.replace(tzinfo=UTC) if as_of else now
    found = measure_champion(settings, Run(moment, began, as_labelled, keeps=as_of is None))
    typer.echo(f"{len(found.figures)} figures of model {found.version} as of {moment:%Y-%m-%d %H:%M} UTC")
    for figure in found.breached:
        typer.echo(f"out of bounds: {figure.told}")
    typer.echo(json.dumps({"lasting": found.lasting}))


if __name__ == "__main__":
    with told_in_one_line():
        typer.run(main)
