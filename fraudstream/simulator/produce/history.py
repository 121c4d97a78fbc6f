"""The mode of `produce` with --out: a history, into files."""

import os
import time
from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fraudstream.settings import Settings
from fraudstream.simulator.history import write_history
from fraudstream.simulator.history_plan import HistoryPlan
from fraudstream.simulator.produce.options import ProduceOptions, utc


def produce_history(settings: Settings, options: ProduceOptions, out: Path) -> None:
    """Writes the history that the options describe into the folder `out`. Raises HistoryError and ScenarioError."""
    plan = HistoryPlan.of(
        settings,
        transactions=options.transactions,
        days=options.days,
        end=utc(options.end),
        label_delay_days=options.label_delay_days,
    )
    _write(out, plan, options.workers or os.cpu_count() or 1)


def _write(out: Path, plan: HistoryPlan, workers: int) -> None:
    done = frauds = browsed = 0
    columns = (
        TextColumn("writing"), BarColumn(), MofNCompleteColumn(), TextColumn("transactions,"),
        TextColumn("{task.fields[rate]:,.0f}/s,"), TimeRemainingColumn(), TextColumn("left"),
    )  # fmt: skip
    begun = time.monotonic()
    with Progress(*columns) as bar:
        task = bar.add_task("history", total=plan.transactions, rate=0.0)
        for part in write_history(out, plan, workers):
            done, frauds, browsed = done + part.transactions, frauds + part.frauds, browsed + part.browse_events
            bar.update(task, completed=done, rate=done / (time.monotonic() - begun))
    typer.echo(
        f"{out}: {done} transactions ({frauds} of them fraud), {browsed} browse events, "
        f"in {time.monotonic() - begun:.0f} s"
    )
