"""The model card: what a person should know about a model, from its metadata."""

from model.artifact import Metadata


def model_card(metadata: Metadata) -> str:
    """`README.md` of a model's folder, in Markdown."""
    return "\n".join(
        [
            f"# Fraud model {metadata.version}",
            "",
            f"Trained at {metadata.trained_at:%Y-%m-%d %H:%M} UTC with scikit-learn {metadata.libraries['scikit-learn']}, "
            f"seed {metadata.seed}. A histogram gradient boosting classifier over {len(metadata.features)} features; a "
            f"transaction with a score of {metadata.threshold:.4f} or more is flagged.",
            "",
            "Use: ranking purchases of the simulated shop by their risk of fraud, for a team that looks at the flagged ones. "
            "It knows the simulator's fraud only; for a real shop, train it on that shop's history.",
            "",
            "Measured on a later period than the training's, unseen by the fit and by the threshold:",
            "",
            "| history | transactions | frauds | average precision | ROC AUC | precision | recall |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *(_metrics_row(name, metrics) for name, metrics in metadata.metrics["histories"].items()),
            "",
            "Recall by scenario:",
            "",
            "| history | scenario | recall |",
            "| --- | --- | --- |",
            *(
                f"| {name} | {scenario} | {recall:.2f} |"
                for name, metrics in metadata.metrics["histories"].items()
                for scenario, recall in metrics["recall_by_scenario"].items()
            ),
            "",
        ]
    )


def _metrics_row(name: str, metrics: dict[str, float]) -> str:
    figures = (f"{metrics[key]:.3f}" for key in ("average_precision", "roc_auc", "precision", "recall"))
    return f"| {name} | {metrics['transactions']:,} | {metrics['frauds']:,} | {' | '.join(figures)} |"
