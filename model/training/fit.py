"""The classifier: its parameters, its fit, and the search for parameters."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

from model.serving.scorer import log_odds
from model.training.dataset import Dataset
from model.training.split import Split

SEARCH_ROWS = 40_000  # a trial is fitted on all frauds, and on as many others as make this number


@dataclass(frozen=True)
class Parameters:
    """Parameters of HistGradientBoostingClassifier. Defaults: small trees, regularised leaves, since frauds are few."""

    learning_rate: float = 0.05
    max_iter: int = 300
    max_leaf_nodes: int = 14
    min_samples_leaf: int = 30
    l2_regularization: float = 5.0
    max_features: float = 0.3

    @classmethod
    def draw(cls, random: np.random.Generator) -> "Parameters":
        """Parameters drawn by chance."""
        return cls(
            learning_rate=round(float(np.exp(random.uniform(np.log(0.03), np.log(0.12)))), 4),
            max_iter=int(random.choice([200, 300, 400])),
            max_leaf_nodes=int(random.integers(8, 40)),
            min_samples_leaf=int(random.choice([10, 20, 30, 60, 100])),
            l2_regularization=float(random.choice([0.5, 2.0, 5.0, 20.0])),
            max_features=float(random.choice([0.15, 0.3, 0.6])),
        )


@dataclass(frozen=True)
class Trial:
    """Parameters and how good they were: the mean of the validation periods' average precisions."""

    parameters: Parameters
    average_precision: float


def fit(
    features: np.ndarray, truth: np.ndarray, seed: int, parameters: Parameters | None = None
) -> HistGradientBoostingClassifier:
    """Fits the classifier. Repeatable, bit by bit."""
    model = HistGradientBoostingClassifier(
        **asdict(parameters or Parameters()), early_stopping=False, random_state=seed
    )
    with threadpool_limits(1, "openmp"):  # threads wait for each other at every node: on a busy machine, for very long
        return model.fit(features, truth)


def search(splits: Sequence[Split], trials: int, seed: int, progress: Callable[[Trial], None]) -> list[Trial]:
    """Tries the default parameters and `trials` - 1 others; the best first. A function of data, `trials` and `seed`.

    Fits on samples of the training periods, with the labels that had come; judges on the validation periods.
    """
    random = np.random.default_rng(seed)
    candidates = [Parameters(), *(Parameters.draw(random) for _ in range(trials - 1))][:trials]
    features, truth = _sample(splits, random)

    def attempt(parameters: Parameters) -> Trial:
        model = fit(features, truth, seed, parameters)
        return Trial(parameters, float(np.mean([_judge(model, split) for split in splits])))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = [pool.submit(attempt, parameters) for parameters in candidates]
        for future in as_completed(futures):
            progress(future.result())
    done = [future.result() for future in futures]
    return sorted(done, key=lambda trial: -trial.average_precision)


def _judge(model: HistGradientBoostingClassifier, split: Split) -> float:
    known = split.validation.known_fraud(split.labelled_by)
    return float(average_precision_score(known, log_odds(model, split.validation.features)))


def training_rows(splits: Sequence[Split]) -> tuple[np.ndarray, np.ndarray]:
    """Features and known frauds of all training periods."""
    features = np.concatenate([split.training.features for split in splits])
    return features, np.concatenate([known_frauds(split, split.training) for split in splits])


def known_frauds(split: Split, part: Dataset) -> np.ndarray:
    """Flags, bool [n], of a part's rows that were known as frauds when the model is trained."""
    return part.known_fraud(split.labelled_by)


def _sample(splits: Sequence[Split], random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    features, truth = training_rows(splits)
    others = np.flatnonzero(~truth)
    wanted = max(SEARCH_ROWS - int(truth.sum()), 0)
    if len(others) > wanted:
        others = random.choice(others, wanted, replace=False)
    rows = np.sort(np.concatenate([np.flatnonzero(truth), others]))
    return features[rows], truth[rows]
