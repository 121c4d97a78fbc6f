"""The classifier: gradient boosting and extremely randomised trees, each fitted on several draws, averaged."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

BOOSTINGS = 6
FORESTS = 8
STEPS = BOOSTINGS + FORESTS
LEGITIMATE_PER_FRAUD = 12  # in each draw: ranks better than all of them, and fits several times faster
_UNKNOWN = -1.0  # for a forest, which takes no NaN: below all counts and times that occur


def scores(training: pd.DataFrame, frauds: np.ndarray, test: pd.DataFrame, seed: int) -> Iterator[np.ndarray]:
    """Fits on `training` and scores `test`: yields each member's part of the mean, STEPS in all.

    The sum of what is yielded is the score, between 0 and 1: a rank, not a probability, since members see more frauds
    than there are. The same data and seed give the same scores.
    """
    positive, negative = np.flatnonzero(frauds), np.flatnonzero(~frauds)
    size = min(len(negative), LEGITIMATE_PER_FRAUD * len(positive))
    filled, filled_test = training.fillna(_UNKNOWN), test.fillna(_UNKNOWN)
    for place, sequence in enumerate(np.random.SeedSequence(seed).spawn(STEPS)):
        random = np.random.default_rng(sequence)
        rows = np.concatenate([positive, random.choice(negative, size, replace=False)])
        state = int(random.integers(2**31))
        if place < BOOSTINGS:
            with threadpool_limits(1, "openmp"):  # threads wait for each other at every node: on a busy machine, long
                drawn = training.iloc[rows].dropna(axis="columns", how="all")  # scikit-learn can't bin nothing
                model = _boosting(state).fit(drawn, frauds[rows])
                yield model.predict_proba(test[drawn.columns])[:, 1] / (2 * BOOSTINGS)
        else:
            model = _forest(state).fit(filled.iloc[rows], frauds[rows])
            yield model.predict_proba(filled_test)[:, 1] / (2 * FORESTS)


def _boosting(seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=120,
        max_leaf_nodes=8,
        min_samples_leaf=20,
        l2_regularization=5.0,
        max_features=0.3,
        early_stopping=False,
        random_state=seed,
    )


def _forest(seed: int) -> ExtraTreesClassifier:
    return ExtraTreesClassifier(40, min_samples_leaf=3, max_features=0.3, random_state=seed)
