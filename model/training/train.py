"""Trains the fraud model on history directories: `python -m model.training.train --history DIR --out DIR`.

What fits, measures and draws is imported where it is used: each of the processes that compute features imports this
module, too, and scikit-learn and matplotlib take it seconds.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fraudstream.errors import told_in_one_line
from fraudstream.settings import Settings, load_settings
from fraudstream.static_data.currencies import told_unpriced
from model.serving.artifact import ARTIFACT_FILE, CARD_FILE, METADATA_FILE
from model.training.dataset import build
from model.training.errors import TrainingError
from model.training.history import SERVED, HistoryFolder
from model.training.served import served_dataset
from model.training.split import Split, split_by_time
from model.training.thresholds import ThresholdRule

if TYPE_CHECKING:
    from model.training.trainer import Options, Trained

console = Console(stderr=True)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_EXAMPLES = """
Examples:

  ./fraudctl train --history var/history --out var/models/new

  ./fraudctl train --history var/history --history var/history-live --out var/models/new --seed 7

  ./fraudctl train --history var/history --out var/models/new --trials 20 --alerts-per-day 50
"""


def write(folder: Path, trained: "Trained", splits: dict[str, Split]) -> None:
    """Writes the model's folder; the metadata last, so that an interrupted write is noticed by its SHA-256."""
    from model.training.card import model_card
    from model.training.plots import TITLES, draw

    folder.mkdir(parents=True, exist_ok=True)
    (folder / ARTIFACT_FILE).write_bytes(trained.artifact)
    truths = {name: split.test.truth for name, split in splits.items()}
    draw(folder, trained.metadata.metrics["histories"], truths, trained.test_scores)
    (folder / CARD_FILE).write_text(model_card(trained.metadata, TITLES))
    (folder / METADATA_FILE).write_bytes(trained.metadata.encode())


def read(path: Path, processes: int, settings: Settings) -> Split:
    """Computes the features of the history in `path`, showing progress, and splits it. Raises FraudstreamError."""
    folder = HistoryFolder(path)
    if folder.has(SERVED):
        console.print(f"features of {path}: as served, from the archive")
        return split_by_time(served_dataset(folder))
    rates = folder.rates(settings.shop)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        task = progress.add_task(f"features of {path}", total=folder.events(), rate="")

        def show(events: int) -> None:
            speed = progress.tasks[task].speed
            progress.update(task, completed=events, rate=f"{speed:,.0f} events/s" if speed else "")

        data = build(folder, processes, show, settings.entity_risk, rates)
        progress.update(task, completed=progress.tasks[task].total)
    if unpriced := int(data.rows["shop_amount"].isna().sum()):
        console.print(told_unpriced(unpriced, len(data.rows), settings.shop.currency))
    return split_by_time(data)


def read_histories(histories: list[Path], processes: int) -> dict[str, Split]:
    """The splits of all histories, by the folders' names. Raises FraudstreamError."""
    if len({path.name for path in histories}) < len(histories):
        raise TrainingError(f"histories with the same name: {', '.join(map(str, histories))}; rename their folders")
    settings = load_settings()
    return {path.name: read(path, processes, settings) for path in histories}


def train_and_write(splits: dict[str, Split], out: Path, options: "Options") -> "Trained":
    """Trains, writes the model's folder and says how good it is. Raises FraudstreamError."""
    from model.training.trainer import train

    with console.status("training") as status:
        trained = train(splits, options, status.update)
        write(out, trained, splits)
    metadata = trained.metadata
    for name, metrics in metadata.metrics["histories"].items():
        console.print(
            f"{name}: average precision {metrics['average_precision']:.3f}, AUC {metrics['roc_auc']:.3f}, "
            f"precision {metrics['precision']:.3f} and recall {metrics['recall']:.3f} at {metadata.threshold:.4g}"
        )
    console.print(f"wrote {metadata.version} ({len(trained.artifact) / 1000:,.0f} kB) to {out}")
    return trained


def options_from(
    seed: int, trials: int, alerts_per_day: float | None = None, by_cost: bool = False, review_cost: float = 5.0
) -> "Options":
    """The command line's options with the settings' capacity. Raises TrainingError when two exclude each other."""
    from model.training.trainer import Options

    if by_cost and alerts_per_day is not None:
        raise TrainingError("--by-cost and --alerts-per-day both set the threshold: choose one")
    ratio = load_settings().stream.alert_capacity_ratio
    return Options(seed, trials, ThresholdRule(ratio, alerts_per_day, by_cost, review_cost))


@app.command(epilog=_EXAMPLES)
def main(
    history: Annotated[list[Path], typer.Option(help="history directory; repeat it to train on several")],
    out: Annotated[Path, typer.Option(help="folder for the model")],
    seed: Annotated[int, typer.Option(help="seed of search and fit", min=0)] = 42,
    trials: Annotated[int, typer.Option(help="parameters to try; 1: only the defaults", min=1)] = 8,
    alerts_per_day: Annotated[
        float | None, typer.Option(help="threshold for so many alerts a day; default: the settings' alerts a fraud")
    ] = None,
    by_cost: Annotated[bool, typer.Option("--by-cost", help="threshold with the least cost")] = False,
    review_cost: Annotated[float, typer.Option(help="of one alert; a missed fraud costs its amount", min=0)] = 5.0,
    processes: Annotated[int, typer.Option(help="processes that compute features; 0: one a core", min=0)] = 0,
) -> None:
    """Trains the fraud model and writes model.skops, metadata.json and a model card with plots."""
    with told_in_one_line():
        options = options_from(seed, trials, alerts_per_day, by_cost, review_cost)
        train_and_write(read_histories(history, processes or os.cpu_count() or 1), out, options)


if __name__ == "__main__":
    app(prog_name="fraudctl train")
