"""Trains the fraud model on one or more history directories: `python -m model.train --history DIR --out DIR`."""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import sklearn
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from fraudstream.errors import FraudstreamError
from fraudstream.settings import EntityRiskSettings, load_settings
from model.artifact import ARTIFACT_FILE, CARD_FILE, METADATA_FILE, Metadata, sha256_of
from model.card import model_card
from model.dataset import Dataset, build
from model.evaluation import Split, TrainingError, choose_threshold, evaluate, split_by_time
from model.features import FEATURE_NAMES
from model.replay import HistoryFolder
from model.serialization import dump

console = Console(stderr=True)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_EXAMPLES = """
Examples:

  python -m model.train --history var/history --out var/models/new

  python -m model.train --history var/history --history var/history-live --out var/models/new --seed 7
"""


def fit(features: np.ndarray, truth: np.ndarray, seed: int) -> HistGradientBoostingClassifier:
    """Fits the classifier: small trees and regularised leaves, since frauds are few. Repeatable."""
    model = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=300,
        max_leaf_nodes=14,
        min_samples_leaf=30,
        l2_regularization=5.0,
        max_features=0.3,
        early_stopping=False,
        random_state=seed,
    )
    with threadpool_limits(1, "openmp"):  # threads wait for each other at every node: on a busy machine, for very long
        return model.fit(features, truth)


def train(splits: dict[str, Split], seed: int, capacity_ratio: float) -> tuple[bytes, Metadata]:
    """Trains on the training periods, sets the threshold on the validation periods, measures on the test periods.

    Returns the artifact and its metadata. The same splits and seed give the same artifact, byte by byte.
    """
    features = np.concatenate([split.training.features for split in splits.values()])
    labels = np.concatenate([split.training.known_fraud(split.labelled_by) for split in splits.values()])
    model = fit(features, labels, seed)

    def score(part: Dataset) -> np.ndarray:
        scores: np.ndarray = model.predict_proba(part.features)[:, 1]
        return scores

    threshold = choose_threshold(
        np.concatenate([score(split.validation) for split in splits.values()]),
        sum(int(split.validation.known_fraud(split.labelled_by).sum()) for split in splits.values()),
        capacity_ratio,
    )
    metrics = {name: evaluate(split.test, score(split.test), threshold) for name, split in splits.items()}
    artifact = dump(model)
    trained_at = datetime.now(UTC).replace(microsecond=0)
    digest = sha256_of(artifact)
    return artifact, Metadata(
        version=f"{trained_at:%Y%m%d}-{digest[:10]}",
        trained_at=trained_at,
        features=list(FEATURE_NAMES),
        usual=_usual(features[~labels]),
        threshold=threshold,
        sha256=digest,
        libraries={
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        metrics=_averaged(metrics),
        data={name: split.describe() for name, split in splits.items()},
        seed=seed,
    )


def _usual(legitimate: np.ndarray) -> dict[str, float | None]:
    """Each feature's median where it is known; None where it never is."""
    known = {name: values[~np.isnan(values)] for name, values in zip(FEATURE_NAMES, legitimate.T, strict=True)}
    return {name: float(np.median(values)) if len(values) else None for name, values in known.items()}


def _averaged(metrics: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The mean over the histories of the main metrics, beside each history's own."""
    names = ("roc_auc", "average_precision", "precision", "recall")
    means = {name: float(np.mean([part[name] for part in metrics.values()])) for name in names}
    return {**means, "histories": metrics}


def write(folder: Path, artifact: bytes, metadata: Metadata) -> None:
    """Writes the model's folder; the metadata last, so that an interrupted write is noticed by its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ARTIFACT_FILE).write_bytes(artifact)
    (folder / CARD_FILE).write_text(model_card(metadata))
    (folder / METADATA_FILE).write_bytes(metadata.encode())


def read(path: Path, processes: int, entity_risk: EntityRiskSettings) -> Split:
    """Replays the history in `path`, showing progress, and splits it."""
    folder = HistoryFolder(path)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        task = progress.add_task(f"replaying {path}", total=folder.events(), rate="")

        def show(events: int) -> None:
            speed = progress.tasks[task].speed
            progress.update(task, completed=events, rate=f"{speed:,.0f} events/s" if speed else "")

        data = build(folder, processes, show, entity_risk)
        progress.update(task, completed=progress.tasks[task].total)
    return split_by_time(data)


def train_and_write(histories: list[Path], out: Path, seed: int, processes: int) -> Metadata:
    """Replays the histories, trains, writes the model's folder and says how good it is. Raises FraudstreamError."""
    if len({path.name for path in histories}) < len(histories):
        raise TrainingError(f"histories with the same name: {', '.join(map(str, histories))}; rename their folders")
    settings = load_settings()
    splits = {path.name: read(path, processes, settings.entity_risk) for path in histories}
    with console.status("fitting and evaluating"):
        artifact, metadata = train(splits, seed, settings.stream.alert_capacity_ratio)
    write(out, artifact, metadata)
    for name, metrics in metadata.metrics["histories"].items():
        console.print(
            f"{name}: average precision {metrics['average_precision']:.3f}, AUC {metrics['roc_auc']:.3f}, "
            f"precision {metrics['precision']:.3f} and recall {metrics['recall']:.3f} at {metadata.threshold:.4f}"
        )
    console.print(f"wrote {metadata.version} ({len(artifact) / 1000:,.0f} kB) to {out}")
    return metadata


@app.command(epilog=_EXAMPLES)
def main(
    history: Annotated[list[Path], typer.Option(help="history directory; repeat it to train on several")],
    out: Annotated[Path, typer.Option(help="folder for the model")],
    seed: Annotated[int, typer.Option(help="seed of the fit", min=0)] = 42,
    processes: Annotated[int, typer.Option(help="processes of the replay; 0: one a core", min=0)] = 0,
) -> None:
    """Trains the fraud model and writes model.skops, metadata.json and a model card."""
    try:
        train_and_write(history, out, seed, processes or os.cpu_count() or 1)
    except FraudstreamError as error:
        console.print(f"[red]training failed:[/red] {error}", highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    app()
