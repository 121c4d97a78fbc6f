"""Trains the fraud model on history directories: `python -m model.training.train --history DIR --out DIR`."""

import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import sklearn
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from sklearn.ensemble import HistGradientBoostingClassifier

from fraudstream.errors import told_in_one_line
from fraudstream.settings import EntityRiskSettings, load_settings
from model.features.observe import FEATURE_NAMES
from model.serving.artifact import ARTIFACT_FILE, CARD_FILE, METADATA_FILE, Calibration, Metadata, sha256_of
from model.serving.scorer import calibrated, log_odds
from model.serving.serialization import dump
from model.training.calibration import fit_calibration
from model.training.card import model_card
from model.training.dataset import build
from model.training.fit import Trial, fit, known_frauds, search, training_rows
from model.training.history import HistoryFolder
from model.training.metrics import evaluate
from model.training.plots import draw
from model.training.split import Split, TrainingError, split_by_time
from model.training.thresholds import Period, ThresholdRule

console = Console(stderr=True)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_EXAMPLES = """
Examples:

  ./fraudctl train --history var/history --out var/models/new

  ./fraudctl train --history var/history --history var/history-live --out var/models/new --seed 7

  ./fraudctl train --history var/history --out var/models/new --trials 20 --alerts-per-day 50
"""
_SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True)
class Options:
    """How to train. `trials` parameters are tried; one means the defaults, without a search."""

    seed: int
    trials: int
    rule: ThresholdRule


@dataclass(frozen=True)
class Trained:
    """A model, and its scores for each test period, by the history's name."""

    artifact: bytes
    metadata: Metadata
    test_scores: dict[str, np.ndarray]


def train(splits: dict[str, Split], options: Options, progress: Callable[[str], None]) -> Trained:
    """Fits on the training periods, tunes, calibrates and sets the threshold on the validation ones, tests on the rest.

    Calls `progress` with what is done next. The same splits and options give the same artifact, byte by byte.
    """
    parts = list(splits.values())
    trials = _search(parts, options, progress)
    progress("fitting")
    features, truth = training_rows(parts)
    model = fit(features, truth, options.seed, trials[0].parameters if trials else None)
    progress("calibrating and evaluating")
    calibration, threshold = _calibrate(model, parts, options.rule)
    scores = {name: calibrated(log_odds(model, split.test.features), calibration) for name, split in splits.items()}
    metrics = {name: evaluate(split.test, scores[name], threshold, options.rule) for name, split in splits.items()}
    artifact = dump(model)
    trained_at = datetime.now(UTC).replace(microsecond=0)
    decision = msgspec.json.encode([calibration, threshold])
    metadata = Metadata(
        version=f"{trained_at:%Y%m%d}-{sha256_of(artifact + decision)[:10]}",
        trained_at=trained_at,
        features=list(FEATURE_NAMES),
        usual=_usual(features[~truth]),
        threshold=threshold,
        sha256=sha256_of(artifact),
        libraries={
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        metrics=_averaged(metrics),
        data={name: split.describe() for name, split in splits.items()},
        seed=options.seed,
        calibration=calibration,
        threshold_rule=options.rule.describe(),
        tuning=[asdict(trial) for trial in trials],
    )
    return Trained(artifact, metadata, scores)


def _search(splits: list[Split], options: Options, progress: Callable[[str], None]) -> list[Trial]:
    """Trials, the best first; none when there is nothing to choose from."""
    if options.trials <= 1:
        return []
    done: list[Trial] = []

    def tell(trial: Trial) -> None:
        done.append(trial)
        best = max(one.average_precision for one in done)
        progress(f"tuning: {len(done)} of {options.trials} trials, best average precision {best:.4f}")

    progress(f"tuning: {options.trials} trials")
    return search(splits, options.trials, options.seed, tell)


def _calibrate(
    model: HistGradientBoostingClassifier, splits: list[Split], rule: ThresholdRule
) -> tuple[Calibration, float]:
    """Calibration and threshold, from what was known of the validation periods."""
    values = np.concatenate([log_odds(model, split.validation.features) for split in splits])
    frauds = np.concatenate([known_frauds(split, split.validation) for split in splits])
    calibration = fit_calibration(values, frauds)
    amounts = np.concatenate([split.validation.rows["amount"].to_numpy(float) for split in splits])
    period = Period(calibrated(values, calibration), frauds, amounts, sum(map(_validation_days, splits)))
    return calibration, rule.choose(period)


def _validation_days(split: Split) -> float:
    times = split.validation.rows["event_time"]
    return float((times.max() - times.min()).total_seconds() / _SECONDS_A_DAY)


def _usual(legitimate: np.ndarray) -> dict[str, float | None]:
    """Each feature's median where it is known; None where it never is."""
    known = {name: values[~np.isnan(values)] for name, values in zip(FEATURE_NAMES, legitimate.T, strict=True)}
    return {name: float(np.median(values)) if len(values) else None for name, values in known.items()}


def _averaged(metrics: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The mean over the histories of the main metrics, beside each history's own."""
    names = (
        "roc_auc",
        "average_precision",
        "card_precision_at_100",
        "precision",
        "recall",
        "recall_at_budget",
        "brier",
    )
    means = {name: float(np.mean([part[name] for part in metrics.values()])) for name in names}
    return {**means, "histories": metrics}


def write(folder: Path, trained: Trained, splits: dict[str, Split]) -> None:
    """Writes the model's folder; the metadata last, so that an interrupted write is noticed by its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ARTIFACT_FILE).write_bytes(trained.artifact)
    truths = {name: split.test.truth for name, split in splits.items()}
    plots = draw(folder, trained.metadata.metrics["histories"], truths, trained.test_scores)
    (folder / CARD_FILE).write_text(model_card(trained.metadata, plots))
    (folder / METADATA_FILE).write_bytes(trained.metadata.encode())


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


def read_histories(histories: list[Path], processes: int) -> dict[str, Split]:
    """The splits of all histories, by the folders' names. Raises FraudstreamError."""
    if len({path.name for path in histories}) < len(histories):
        raise TrainingError(f"histories with the same name: {', '.join(map(str, histories))}; rename their folders")
    entity_risk = load_settings().entity_risk
    return {path.name: read(path, processes, entity_risk) for path in histories}


def train_and_write(splits: dict[str, Split], out: Path, options: Options) -> Trained:
    """Trains, writes the model's folder and says how good it is. Raises FraudstreamError."""
    with console.status("training") as status:
        trained = train(splits, options, status.update)
        write(out, trained, splits)
    metadata = trained.metadata
    for name, metrics in metadata.metrics["histories"].items():
        console.print(
            f"{name}: average precision {metrics['average_precision']:.3f}, AUC {metrics['roc_auc']:.3f}, "
            f"precision {metrics['precision']:.3f} and recall {metrics['recall']:.3f} at {metadata.threshold:.4f}"
        )
    console.print(f"wrote {metadata.version} ({len(trained.artifact) / 1000:,.0f} kB) to {out}")
    return trained


def options_from(
    seed: int, trials: int, alerts_per_day: float | None = None, by_cost: bool = False, review_cost: float = 5.0
) -> Options:
    """The command line's options with the settings' capacity. Raises TrainingError when two exclude each other."""
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
    processes: Annotated[int, typer.Option(help="processes of the replay; 0: one a core", min=0)] = 0,
) -> None:
    """Trains the fraud model and writes model.skops, metadata.json and a model card with plots."""
    with told_in_one_line():
        options = options_from(seed, trials, alerts_per_day, by_cost, review_cost)
        train_and_write(read_histories(history, processes or os.cpu_count() or 1), out, options)


if __name__ == "__main__":
    app(prog_name="fraudctl train")
