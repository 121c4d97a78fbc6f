"""The command: `python -m model.evaluate --transactions FILE`, which is `./fraudctl evaluate`."""

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from fraudstream.errors import UsageError, told_in_one_line
from fraudstream.settings import load_settings
from fraudstream.static_data.currencies import rates_of
from model.evaluate.features import build
from model.evaluate.history import History, read
from model.evaluate.labels import read_labels
from model.evaluate.mapping import mapping_of
from model.evaluate.protocol import Protocol, Split, split

if TYPE_CHECKING:
    from model.evaluate.metrics import Metrics

console = Console(stderr=True)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_EXAMPLES = """
Examples:

  ./fraudctl evaluate --transactions history.parquet

  ./fraudctl evaluate --transactions orders.csv --mapping orders.toml --train-start 2026-03-01 --train-days 28

  ./fraudctl evaluate --transactions history.csv --json | jq .average_precision

  ./fraudctl evaluate --transactions orders.csv --labels disputes.csv --labels-mapping disputes.toml

A mapping (docs/mapping.md) says what other names than the platform's and the Fraud Detection Handbook's mean:

  ./fraudctl mapping suggest orders.csv --out orders.toml

  ./fraudctl evaluate --transactions orders.csv --mapping orders.toml
"""


def evaluate(history: History, protocol: Protocol, seed: int) -> "tuple[Split, Metrics]":
    """Trains on the protocol's training period and measures on its test period. Raises ProtocolError."""
    parts = split(history, protocol)
    from model.evaluate import classifier  # here: scikit-learn takes seconds, which a refusal needn't wait for
    from model.evaluate.metrics import measure

    console.print(
        f"training {protocol.train_start} until {protocol.train_end}, labels known after {protocol.delay_days} days, "
        f"test {protocol.test_start} until {protocol.test_end}"
    )
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    ) as progress:
        task = progress.add_task("features", total=classifier.STEPS + 1)
        seen = replace(history, frauds=history.frauds_within(protocol.delay))
        features = build(seen, np.concatenate([parts.train, parts.test]), protocol.delay)
        training, test = features.iloc[: len(parts.train)], features.iloc[len(parts.train) :]
        progress.update(task, description="fitting", advance=1)
        scores = np.zeros(len(test))
        for contribution in classifier.scores(training, parts.labels, test, seed):
            scores += contribution
            progress.advance(task)
    metrics = measure(history.frauds[parts.test], scores, history.customers[parts.test], parts.days)
    return parts, metrics


def _table(history: History, parts: Split, metrics: "Metrics") -> Table:
    table = Table(box=None, show_header=False)
    rows = {
        "AUC ROC": f"{metrics.auc_roc:.3f}",
        "average precision": f"{metrics.average_precision:.3f}",
        "card precision@100": f"{metrics.card_precision_at_100:.3f}",
        "tested transactions": f"{metrics.n_test:,}",
        "frauds among them": f"{metrics.n_fraud:,}",
        "left the test (card known as compromised)": f"{parts.removed:,}",
        "training transactions": f"{len(parts.train):,}",
        "frauds among those": f"{int(parts.labels.sum()):,}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


@app.command(epilog=_EXAMPLES)
def main(
    transactions: Annotated[Path, typer.Option(help="labelled history: JSON, CSV or Parquet, or a folder of parts")],
    mapping: Annotated[Path | None, typer.Option(help="mapping (docs/mapping.md); else well-known names")] = None,
    labels: Annotated[Path | None, typer.Option(help="file of labels, such as disputes, with their own time")] = None,
    labels_mapping: Annotated[Path | None, typer.Option(help="mapping of the labels")] = None,
    train_start: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="first day of training; else the latest that fits"),
    ] = None,
    train_days: Annotated[int, typer.Option(min=1, help="days of training")] = 7,
    delay_days: Annotated[int, typer.Option(min=0, help="days until a label is known")] = 7,
    test_days: Annotated[int, typer.Option(min=1, help="days of test")] = 7,
    seed: Annotated[int, typer.Option(min=0, help="seed of the fit")] = 42,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Trains and tests on your own labelled history, as time would have gone, and says how well frauds are found."""
    with told_in_one_line():
        if (labels is None) is not (labels_mapping is None):
            raise UsageError("--labels FILE and --labels-mapping FILE go together: say both, or neither")
        rates = rates_of(load_settings().shop)
        known = read_labels(labels, labels_mapping) if labels and labels_mapping else None
        history = read(transactions, mapping_of(transactions, mapping, is_labelled=known is None), rates, known)
        console.print(f"read {len(history):,} transactions with {int(history.frauds.sum()):,} frauds")
        for remark in history.remarks:
            console.print(remark)
        periods = (train_days, delay_days, test_days)
        protocol = Protocol(train_start.date(), *periods) if train_start else Protocol.latest(history, *periods)
        if late := int(history.frauds.sum() - history.frauds_within(protocol.delay).sum()):
            console.print(f"{late:,} frauds were labelled later than after {delay_days} days: features never know them")
        parts, metrics = evaluate(history, protocol, seed)
    if as_json:
        typer.echo(json.dumps(metrics.as_json()))
    else:
        Console().print(_table(history, parts, metrics))


if __name__ == "__main__":
    app(prog_name="fraudctl evaluate")
