"""The model card: what a person should know about a model, from its metadata."""

from collections.abc import Iterator
from typing import Any

from model.artifact import Metadata

_USE = """\
Use: ranking purchases of the simulated shop by their risk of fraud, for a team that looks at the flagged ones. It knows
the simulator's fraud only; for a real shop, train it on that shop's history."""


def model_card(metadata: Metadata) -> str:
    """`README.md` of a model's folder, in Markdown."""
    histories: dict[str, Any] = metadata.metrics["histories"]
    return "\n".join(
        [
            f"# Fraud model {metadata.version}",
            "",
            f"A histogram gradient boosting classifier over {len(metadata.features)} features, trained at",
            f"{metadata.trained_at:%Y-%m-%d %H:%M} UTC with scikit-learn {metadata.libraries['scikit-learn']} and seed",
            f"{metadata.seed}. A transaction with a score of {metadata.threshold:.4f} or more is flagged.",
            "",
            _USE,
            "",
            "Measured on a later period than the training's, unseen by the fit and by the threshold:",
            "",
            "| history | transactions | frauds | average precision | ROC AUC | precision | recall |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *(_metrics_row(name, metrics) for name, metrics in histories.items()),
            "",
            "Recall by scenario:",
            "",
            "| history | scenario | recall |",
            "| --- | --- | --- |",
            *(row for name, metrics in histories.items() for row in _scenario_rows(name, metrics)),
            "",
        ]
    )


def _metrics_row(name: str, metrics: dict[str, Any]) -> str:
    figures = (f"{metrics[key]:.3f}" for key in ("average_precision", "roc_auc", "precision", "recall"))
    return f"| {name} | {metrics['transactions']:,} | {metrics['frauds']:,} | {' | '.join(figures)} |"


def _scenario_rows(name: str, metrics: dict[str, Any]) -> Iterator[str]:
    for scenario, recall in metrics["recall_by_scenario"].items():
        yield f"| {name} | {scenario} | {recall:.2f} |"
