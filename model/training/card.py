"""The model card, for people: use, limits, measurements and training of a model, from its metadata."""

from collections.abc import Iterator, Mapping
from typing import Any

from model.serving.artifact import Metadata

_USE = """\
Use: ranking purchases by their risk of fraud, for a team that looks at the flagged ones. It knows the kinds of fraud of
the histories below and no others; for another shop, train it on that shop's history. It must not decide alone: a flag
is a reason for a person to look, and a customer who is refused should be able to reach one.

Limits: friendly fraud looks like any purchase until it is disputed; a customer's first purchases have no history to be
compared with; and it grows old as fraud changes, which `train_fraud_model` and a challenger in shadow are for."""
_MEASURED = """\
## Measured

On a later period than the training's, unseen by fit, tuning, calibration and threshold. The budget is the team's alerts
a fraud; card precision@100 is the share of the 100 riskiest customers of a day that had a fraud, beside the best share
that was possible."""
_METRICS = {
    "transactions": ("transactions", "{:,}"),
    "frauds": ("frauds", "{:,}"),
    "average_precision": ("average precision", "{:.3f}"),
    "roc_auc": ("ROC AUC", "{:.3f}"),
    "card_precision_at_100": ("card precision@100", "{:.3f}"),
    "best_card_precision_at_100": ("at best", "{:.3f}"),
    "precision": ("precision", "{:.3f}"),
    "recall": ("recall", "{:.3f}"),
    "recall_at_budget": ("recall at budget", "{:.3f}"),
    "brier": ("Brier score", "{:.4f}"),
}
_MONEY = {
    "fraud_amount": ("fraud", "{:,.0f}"),
    "saved_amount": ("saved", "{:,.0f}"),
    "net_saved_amount": ("saved, less reviews", "{:,.0f}"),
}


def model_card(metadata: Metadata, plots: Mapping[str, str]) -> str:
    """`README.md` of a model's folder, in Markdown; `plots` are titles by file names."""
    histories: dict[str, dict[str, Any]] = metadata.metrics["histories"]
    sections = [
        f"# Fraud model {metadata.version}",
        _summary(metadata),
        _USE,
        _MEASURED,
        _table("history", histories, _METRICS),
        "Money, in the shop currency. *Saved* are the amounts of flagged frauds.",
        _table("history", histories, _MONEY),
        *(f"![{title}]({name})" for name, title in plots.items()),
        "## Recall by scenario",
        "\n".join(_scenarios(histories)),
        "## Calibration\n\nBy bins of the score: how many transactions, their mean score, and which share was fraud.",
        "\n".join(_reliability(histories)),
        "## Training",
        "\n".join(_periods(metadata.data)),
        "\n".join(_tuning(metadata.tuning)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _summary(metadata: Metadata) -> str:
    rule = f" (chosen for {metadata.threshold_rule})" if metadata.threshold_rule else ""
    calibration = metadata.calibration
    return "\n".join(
        [
            f"A histogram gradient boosting classifier over {len(metadata.features)} features, trained at",
            f"{metadata.trained_at:%Y-%m-%d %H:%M} UTC with scikit-learn {metadata.libraries['scikit-learn']} and seed",
            f"{metadata.seed}. A transaction with a score of {metadata.threshold:.4g} or more is flagged{rule}.",
            f"Calibration: log-odds times {calibration.slope:.3f}, plus {calibration.intercept:.3f}.",
        ]
    )


def _table(first: str, rows: Mapping[str, dict[str, Any]], columns: Mapping[str, tuple[str, str]]) -> str:
    shown = {key: column for key, column in columns.items() if all(key in row for row in rows.values())}
    return "\n".join(
        [
            f"| {first} | {' | '.join(title for title, _ in shown.values())} |",
            "| --- " * (len(shown) + 1) + "|",
            *(
                f"| {name} | {' | '.join(form.format(row[key]) for key, (_, form) in shown.items())} |"
                for name, row in rows.items()
            ),
        ]
    )


def _scenarios(histories: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    yield f"| scenario | {' | '.join(histories)} |"
    yield "| --- " * (len(histories) + 1) + "|"
    for scenario in sorted({name for metrics in histories.values() for name in metrics["recall_by_scenario"]}):
        recalls = (metrics["recall_by_scenario"].get(scenario) for metrics in histories.values())
        yield f"| {scenario} | {' | '.join('-' if recall is None else f'{recall:.2f}' for recall in recalls)} |"


def _reliability(histories: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    yield "| history | score from | transactions | mean score | frauds |"
    yield "| --- | --- | --- | --- | --- |"
    for name, metrics in histories.items():
        for one in metrics["reliability"]:
            yield (
                f"| {name} | {one['from']:g} | {one['transactions']:,} | {one['mean_score']:.4f} "
                f"| {one['fraud_share']:.4f} |"
            )


def _periods(data: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    yield "| history | period | from | until | transactions | frauds |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, split in data.items():
        for period in ("training", "validation", "test"):
            part = split[period]
            times = " | ".join(part[end][:16].replace("T", " ") for end in ("from", "until"))
            yield f"| {name} | {period} | {times} | {part['transactions']:,} | {part['frauds']:,} |"


def _tuning(trials: list[dict[str, Any]]) -> Iterator[str]:
    if trials:
        yield "Parameters tried, judged by average precision on the validation period; the first was taken:\n"
        names = list(trials[0]["parameters"])
        yield f"| {' | '.join(names)} | average precision |"
        yield "| --- " * (len(names) + 1) + "|"
        for trial in trials:
            values = " | ".join(f"{trial['parameters'][name]:g}" for name in names)
            yield f"| {values} | {trial['average_precision']:.4f} |"
