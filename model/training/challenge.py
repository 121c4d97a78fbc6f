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
    from model.training.compare import Comparison, FlagComparison
    from model.training.trainer import Trained

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_EXAMPLES = """
Examples:

  python -m model.training.challenge --history var/training/history

  python -m model.training.challenge --history var/history --trials 20 --seed 7
"""


def compare_with(
    model: ModelVersion, trained: "Trained", splits: dict[str, Split], seed: int
) -> "tuple[Comparison, FlagComparison]":
    """Compares on the test periods, which the challenger hasn't seen. Raises ArtifactError for an unusable champion."""
    from model.serving.scorer import Scorer
    from model.training.compare import compare, compare_flags

    scorer = Scorer.load(model.artifact)
    tests = [split.test for split in splits.values()]
    truth = np.concatenate([test.truth for test in tests])
    customers = np.concatenate([test.rows["customer_id"].to_numpy(str) for test in tests])
    scores = np.concatenate([trained.test_scores[name] for name in splits])
    current = np.concatenate([scorer.score(test.features) for test in tests])
    flagged = scores >= trained.metadata.threshold, current >= scorer.threshold
    return (
        compare(truth, customers, scores, current, seed),
        compare_flags(truth.astype(bool), customers, *flagged, seed),
    )


def summary(trained: "Trained", model: ModelVersion, found: "tuple[Comparison, FlagComparison] | ArtifactError") -> str:
    """The comparison in Markdown, for the person who decides on promotion."""
    from model.training.compare import CONFIDENCE

    version = trained.metadata.version
    if isinstance(found, ArtifactError):
        return f"**{version}** can't be compared: the champion can't be used with this code. {found}"
    ranks, flags = found
    figures = (ranks, flags.precision, flags.recall, flags.f1)
    rows = (
        (f"challenger {version}", *(f"{each.challenger:.3f}" for each in figures)),
        (f"champion {model.version}", *(f"{each.champion:.3f}" for each in figures)),
        (f"difference, {CONFIDENCE:.0%} interval", *(f"{each.low:+.3f} to {each.high:+.3f}" for each in figures)),
    )
    return "\n".join(
        [
            f"**{_verdict(ranks, flags)}** On {ranks.transactions:,} transactions with {ranks.frauds:,} frauds, later",
            "than what it was trained on:",
            "",
            "| model | average precision | precision | recall | F1 |",
            "| --- | --- | --- | --- | --- |",
            *(f"| {' | '.join(row)} |" for row in rows),
            "",
            "Precision, recall and F1 are of what each flags, the challenger from",
            f"{trained.metadata.threshold:.4g} on, for {trained.metadata.threshold_rule}.",
            "It scores in shadow until it is promoted, archived or replaced.",
        ]
    )


def _verdict(ranks: "Comparison", flags: "FlagComparison") -> str:
    if ranks.low <= 0 <= ranks.high and flags.is_better:
        return "The challenger is better. It isn't shown to rank better, but what it flags is better, by F1."
    return ranks.verdict


def challenge(settings: Settings, trained: "Trained", splits: dict[str, Split], folder: Path, seed: int) -> str:
    """Compares, registers the model in `folder` as challenger, and returns the summary. Raises FraudstreamError."""
    with session(settings, settings.postgres.writer, name="model_challenge") as connection:
        current = champion(connection)
        if current is None:
            raise FraudstreamError("there is no champion to compare with: run ./fraudctl up, which registers one")
        try:
            found: tuple[Comparison, FlagComparison] | ArtifactError = compare_with(current, trained, splits, seed)
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
