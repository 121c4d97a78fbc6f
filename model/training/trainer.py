"""The training itself: from split histories to a model with its metadata, without files or a terminal."""

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier

from model.durations import DAY_SECONDS
from model.features.columns import FEATURE_NAMES
from model.serving.artifact import Calibration, Metadata, sha256_of
from model.serving.scorer import calibrated, log_odds
from model.serving.serialization import dump
from model.training.calibration import fit_calibration
from model.training.fit import Trial, fit, known_frauds, search, training_rows
from model.training.metrics import evaluate
from model.training.split import Split
from model.training.thresholds import Period, ThresholdRule


@dataclass(frozen=True)
class Options:
    """Options of a training. `trials` parameters are tried; one means the defaults, without a search."""

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

    The model gets the features that are known of any row it is trained on: a shop without devices has none of theirs.
    Calls `progress` with what is done next. The same splits and options give the same artifact, byte by byte.
    """
    names = _known_features(list(splits.values()))
    splits = {name: _with_features(split, names) for name, split in splits.items()}
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
        features=names,
        usual=_usual(names, features[~truth]),
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


def _known_features(splits: list[Split]) -> list[str]:
    known = np.any([(~np.isnan(split.training.features)).any(axis=0) for split in splits], axis=0)
    return [name for name, is_known in zip(FEATURE_NAMES, known, strict=True) if is_known]


def _with_features(split: Split, names: list[str]) -> Split:
    """The split with these features only, in their order."""
    if tuple(names) == FEATURE_NAMES:
        return split
    columns = [FEATURE_NAMES.index(name) for name in names]
    training, validation, test = (
        replace(part, features=part.features[:, columns]) for part in (split.training, split.validation, split.test)
    )
    return replace(split, training=training, validation=validation, test=test)


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
    amounts = np.concatenate([split.validation.known_amounts for split in splits])
    period = Period(calibrated(values, calibration), frauds, amounts, sum(map(_validation_days, splits)))
    return calibration, rule.choose(period)


def _validation_days(split: Split) -> float:
    times = split.validation.rows["event_time"]
    return float((times.max() - times.min()).total_seconds() / DAY_SECONDS)


def _usual(names: list[str], legitimate: np.ndarray) -> dict[str, float | None]:
    """Each feature's median where it is known; None where it never is."""
    known = {name: values[~np.isnan(values)] for name, values in zip(names, legitimate.T, strict=True)}
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
