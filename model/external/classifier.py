"""The classifier: gradient boosting, which ranks the many well, averaged with extremely randomised trees."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

BOOSTINGS = 3
FORESTS = 8
LEGITIMATE_SHARE = 0.1  # of the training's legitimate rows, drawn anew for each forest
STEPS = BOOSTINGS + FORESTS
_NEVER = -1.0  # for a forest, which takes no NaN: below all counts and amounts that occur


def scores(training: pd.DataFrame, frauds: np.ndarray, test: pd.DataFrame, seed: int) -> Iterator[np.ndarray]:
    """Fits on `training` and scores `test`: yields each member's contribution to the mean, STEPS in all.

    The sum of what is yielded is the score, between 0 and 1: a rank, not a probability, since forests see more frauds
    than there are. The same data and seed give the same scores.
    """
    seeds = np.random.SeedSequence(seed).spawn(STEPS)
    for place, member in enumerate(seeds):
        state = int(member.generate_state(1)[0])
        if place < BOOSTINGS:
            yield _boosting(training, frauds, test, state) / (2 * BOOSTINGS)
        else:
            yield _forest(training, frauds, test, state) / (2 * FORESTS)


def _boosting(training: pd.DataFrame, frauds: np.ndarray, test: pd.DataFrame, seed: int) -> np.ndarray:
    model = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=150,
        max_leaf_nodes=8,
        min_samples_leaf=20,
        l2_regularization=5.0,
        max_features=0.3,
        early_stopping=False,
        random_state=seed,
    )
    with threadpool_limits(1, "openmp"):  # threads wait for each other at every node: on a busy machine, for very long
        return _fraud_probability(model.fit(training, frauds), test)


def _forest(training: pd.DataFrame, frauds: np.ndarray, test: pd.DataFrame, seed: int) -> np.ndarray:
    """A forest on all frauds and a share of the rest: as good as on all rows, and several times faster."""
    legitimate = np.flatnonzero(~frauds)
    size = max(1, round(len(legitimate) * LEGITIMATE_SHARE))
    drawn = np.random.default_rng(seed).choice(legitimate, size, replace=False)
    rows = np.concatenate([np.flatnonzero(frauds), drawn])
    model = ExtraTreesClassifier(25, min_samples_leaf=2, max_features=0.3, random_state=seed)
    model.fit(training.iloc[rows].fillna(_NEVER), frauds[rows])
    return _fraud_probability(model, test.fillna(_NEVER))


def _fraud_probability(model: HistGradientBoostingClassifier | ExtraTreesClassifier, test: pd.DataFrame) -> np.ndarray:
    found: np.ndarray = model.predict_proba(test)[:, 1]
    return found
