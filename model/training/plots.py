"""The model card's plots, as PNG. The same figures give the same bytes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

#: The title of each plot, by the name of its file.
TITLES = {
    "precision-recall.png": "Precision and recall",
    "calibration.png": "Calibration",
    "scenarios.png": "Recall by scenario",
}
_DPI = 110
_SIZE = (6.4, 4.0)
_POINTS = 400


def draw(
    folder: Path,
    metrics: Mapping[str, dict[str, Any]],
    truths: Mapping[str, np.ndarray],
    scores: Mapping[str, np.ndarray],
) -> None:
    """Draws the plots of TITLES into `folder`.

    The other arguments are by the history's name: metrics, truth (bool [n]) and scores (float64 [n]) of the test.
    """
    figures = {
        "precision-recall.png": _precision_recall(metrics, truths, scores),
        "calibration.png": _calibration(metrics),
        "scenarios.png": _scenarios(metrics),
    }
    for name in TITLES:
        figures[name].savefig(folder / name, metadata={"Software": None})


def _figure(title: str, across: str, up: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="tight")
    axes = figure.subplots()
    axes.set(title=title, xlabel=across, ylabel=up)
    axes.grid(color="#e2e8f0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _precision_recall(
    metrics: Mapping[str, dict[str, Any]], truths: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]
) -> Figure:
    figure, axes = _figure("Precision and recall, test period", "recall", "precision")
    for name, figures in metrics.items():
        precision, recall, _ = precision_recall_curve(truths[name], scores[name])
        chosen = np.unique(np.linspace(0, len(recall) - 1, _POINTS).astype(int))
        by_recall = np.unique(np.searchsorted(-recall, -np.linspace(0, 1, _POINTS)).clip(max=len(recall) - 1))
        points = np.union1d(chosen, by_recall)
        label = f"{name}: {figures['average_precision']:.3f}"
        (line,) = axes.plot(recall[points], precision[points], label=label, linewidth=1.5)
        axes.plot(figures["recall"], figures["precision"], "o", color=line.get_color())
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(title="average precision; ● threshold", frameon=False)
    return figure


def _calibration(metrics: Mapping[str, dict[str, Any]]) -> Figure:
    figure, axes = _figure("Calibration, test period", "mean score", "share of frauds")
    axes.plot([1e-4, 1], [1e-4, 1], color="#94a3b8", linewidth=1, linestyle="--")
    for name, figures in metrics.items():
        bins = figures["reliability"]
        shares = [max(one["fraud_share"], 1e-4) for one in bins]
        label = f"{name}: {figures['brier']:.4f}"
        axes.plot([one["mean_score"] for one in bins], shares, "o-", label=label, linewidth=1.2, markersize=4)
    axes.set(xscale="log", yscale="log", xlim=(1e-4, 1.1), ylim=(1e-4, 1.1))
    axes.legend(title="Brier score", frameon=False)
    return figure


def _scenarios(metrics: Mapping[str, dict[str, Any]]) -> Figure:
    figure, axes = _figure("Recall by scenario, test period", "", "recall")
    names = sorted({scenario for figures in metrics.values() for scenario in figures["recall_by_scenario"]})
    width = 0.8 / len(metrics)
    for number, (history, figures) in enumerate(metrics.items()):
        recalls = [figures["recall_by_scenario"].get(scenario, 0.0) for scenario in names]
        axes.bar(np.arange(len(names)) + (number + 0.5) * width - 0.4, recalls, width, label=history)
    axes.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names], fontsize=7)
    axes.set(ylim=(0, 1))
    axes.legend(frameon=False, fontsize=7, ncols=3, loc="lower center", bbox_to_anchor=(0.5, -0.4))
    return figure
