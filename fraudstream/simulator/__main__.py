"""`python -m fraudstream.simulator`: produces events, or writes a history."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

from fraudstream.settings import load_settings
from fraudstream.simulator.history import HistoryPlan, write_history

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def simulator() -> None:
    """The simulated shop."""


@app.command()
def produce(
    out: Annotated[Path, typer.Option(help="write a history into this folder")],
    transactions: Annotated[int, typer.Option()] = 1_000_000,
    days: Annotated[float, typer.Option()] = 60.0,
    end: Annotated[datetime | None, typer.Option()] = None,
) -> None:
    """Writes a history."""
    producer = load_settings().producer
    moment = end.replace(tzinfo=UTC) if end else datetime.now(UTC)
    plan = HistoryPlan(
        producer.seed, producer.customers, producer.products, transactions, producer.fraud_rate, days, moment
    )
    totals = [0, 0, 0]
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task("transactions", total=transactions)
        for written in write_history(out, plan, os.cpu_count() or 1):
            progress.advance(task, written.transactions)
            totals = [totals[0] + written.transactions, totals[1] + written.browse_events, totals[2] + written.frauds]
    typer.echo(f"{totals[0]} transactions ({totals[2]} fraud), {totals[1]} browse events in {out}")


if __name__ == "__main__":
    app()
