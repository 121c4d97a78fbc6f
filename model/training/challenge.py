"""Trains a challenger, compares and registers it: `python -m model.training.challenge --history DIR`.

What scores and compares is imported where it is used, as in `model.training.train`.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from fraudstream.errors import FraudstreamError, told_in_one_line
from fraudstream.settings import Settings, load_settings
from fraudstream.storage.connect import session
from model.serving.artifact import ArtifactError
from model.serving.registry import ModelVersion, champion, register
from model.training.split import Split
from model.training.train import console, options_from, read_histories, train_and_write

if TYPE_CHECKING:
    from model.training.compare import Comparison
    from model.training.trainer import Trained

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_EXAMPLES = """
Examples:

  python -m model.training.challenge --history var/training/history

  python -m model.training.challenge --history var/history --trials 20 --seed 7
"""


def compare_with(model: ModelVersion, trained: "Trained", splits: dict[str, Split], seed: int) -> "Comparison":
    """Compares on the test periods, which the challenger hasn't seen. Raises ArtifactError for an unusable champion."""
    from model.serving.scorer import Scorer
    from model.training.compare import compare

    scorer = Scorer.load(model.artifact)
    tests = [split.test for split in splits.values()]
    return compare(
        np.concatenate([test.truth for test in tests]),
        np.concatenate([test.rows["customer_id"].to_numpy(str) for test in tests]),
        np.concatenate([trained.test_scores[name] for name in splits]),
        np.concatenate([scorer.score(test.features) for test in tests]),
        seed,
    )


def summary(trained: "Trained", model: ModelVersion, found: "Comparison | ArtifactError") -> str:
    """The comparison in Markdown, for the person who decides on promotion."""
    from model.training.compare import CONFIDENCE

    version = trained.metadata.version
    if isinstance(found, ArtifactError):
        return f"**{version}** can't be compared: the champion can't be used with this code. {found}"
    low, high, share = f"{found.low:+.3f}", f"{found.high:+.3f}", f"{CONFIDENCE:.0%}"
    recall, precision = (f"{trained.metadata.metrics[name]:.2f}" for name in ("recall", "precision"))
    return "\n".join(
        [
            f"**{found.verdict}** On {found.transactions:,} transactions with {found.frauds:,} frauds, later than what",
            "it was trained on:",
            "",
            "| model | average precision |",
            "| --- | --- |",
            f"| challenger {version} | {found.challenger:.3f} |",
            f"| champion {model.version} | {found.champion:.3f} |",
            f"| difference, {share} interval | {low} to {high} |",
            "",
            f"Threshold {trained.metadata.threshold:.4f}, for {trained.metadata.threshold_rule}: recall {recall},",
            f"precision {precision}. It scores in shadow until it is promoted, archived or replaced.",
        ]
    )


def challenge(settings: Settings, trained: "Trained", splits: dict[str, Split], folder: Path, seed: int) -> str:
    """Compares, registers the model in `folder` as challenger, and returns the summary. Raises FraudstreamError."""
    with session(settings, settings.postgres.writer, name="model_challenge") as connection:
        current = champion(connection)
        if current is None:
            raise FraudstreamError("there is no champion to compare with: run ./fraudctl up, which registers one")
        try:
            found: Comparison | ArtifactError = compare_with(current, trained, splits, seed)
        except ArtifactError as error:
            found = error
        register(connection, folder, settings.paths.models)
    return summary(trained, current, found)


@app.command(epilog=_EXAMPLES)
def main(
    history: Annotated[list[Path], typer.Option(help="history directory; repeat it to train on several")],
    seed: Annotated[int, typer.Option(help="seed of search, fit and bootstrap", min=0)] = 42,
    trials: Annotated[int, typer.Option(help="parameters to try; 1: only the defaults", min=1)] = 8,
    processes: Annotated[int, typer.Option(help="processes that compute features; 0: one a core", min=0)] = 0,
) -> None:
    """Trains a challenger, and prints it as JSON: {"version": …, "summary": …}."""
    with told_in_one_line():
        settings = load_settings()
        folder = settings.paths.training / "challenger"
        splits = read_histories(history, processes or os.cpu_count() or 1)
        trained = train_and_write(splits, folder, options_from(seed, trials))
        told = challenge(settings, trained, splits, folder, seed)
    console.print(told)
    typer.echo(json.dumps({"version": trained.metadata.version, "summary": told}))


if __name__ == "__main__":
    app()
