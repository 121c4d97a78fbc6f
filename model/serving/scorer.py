"""Scores transactions and explains the flagged ones, with a model that was checked before it is used."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
import sklearn
import skops.io
from scipy.special import expit
from skops.io.exceptions import UntrustedTypesFoundException

from fraudstream.messages.contracts import Reason
from model.features.columns import FEATURE_NAMES
from model.serving.artifact import (
    METADATA_FILE,
    ArtifactError,
    Calibration,
    Metadata,
    check_sha256,
    decode_metadata,
    read_folder,
)
from model.serving.reasons import Facts, sentence

if TYPE_CHECKING:
    from shap import TreeExplainer
    from sklearn.ensemble import HistGradientBoostingClassifier

#: The only type beyond skops' own list that an artifact may hold.
TRUSTED_TYPES = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)
REASONS = 3


def log_odds(model: "HistGradientBoostingClassifier", features: np.ndarray) -> np.ndarray:
    """The classifier's own log-odds of fraud [n]."""
    values: np.ndarray = model.decision_function(features)
    return values


def calibrated(values: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Probabilities [n] of a classifier's log-odds [n]."""
    probabilities: np.ndarray = expit(calibration.slope * values + calibration.intercept)
    return probabilities


class Scorer:
    """A model that is ready to score: features in, probability of fraud out."""

    def __init__(self, model: "HistGradientBoostingClassifier", metadata: Metadata) -> None:
        self.model = model
        self.metadata = metadata
        self.version = metadata.version
        self.threshold = metadata.threshold
        self.sha256 = metadata.sha256
        self.features = tuple(metadata.features)
        self._columns = None if self.features == FEATURE_NAMES else [FEATURE_NAMES.index(n) for n in self.features]

    @classmethod
    def load(cls, folder: Path) -> "Scorer":
        """Opens the model in `folder`. Raises ArtifactError when it can't be trusted or fits another code version."""
        return cls.from_bytes(*read_folder(folder))

    @classmethod
    def from_bytes(cls, artifact: bytes, metadata: bytes) -> "Scorer":
        """Opens the model from its files' contents, `model.skops` and `metadata.json`. Raises ArtifactError."""
        described = decode_metadata(metadata)
        check_sha256(artifact, described)
        _check_library(described)
        _check_features(described)
        try:
            model = skops.io.loads(artifact, trusted=list(TRUSTED_TYPES))
        except UntrustedTypesFoundException as error:
            raise ArtifactError(f"model {described.version} holds types that aren't trusted: {error}") from error
        except (BadZipFile, KeyError, ValueError) as error:
            raise ArtifactError(f"model {described.version} isn't a skops file: {error}; train it again") from error
        _check_width(model, described)
        return cls(model, described)

    def score(self, features: np.ndarray) -> np.ndarray:
        """Probability of fraud of each row; `features` is float64 [n, FEATURE_NAMES], NaN where unknown."""
        if not len(features):
            return np.empty(0)
        return calibrated(log_odds(self.model, self.own(features)), self.metadata.calibration)

    def own(self, features: np.ndarray) -> np.ndarray:
        """The columns of FEATURE_NAMES that the model was trained with, in its order; float64 [n, self.features]."""
        return features if self._columns is None else features[:, self._columns]

    @cached_property
    def explainer(self) -> "TreeExplainer":
        """SHAP's exact explainer for trees, made at its first use: importing shap takes seconds."""
        from shap import TreeExplainer

        return TreeExplainer(self.model)

    def warm_up(self) -> None:
        """Does now what the first score and the first reasons would wait for."""
        nothing = np.full((1, len(FEATURE_NAMES)), np.nan)
        self.score(nothing)
        self.contributions(nothing)

    def contributions(self, features: np.ndarray) -> tuple[np.ndarray, float]:
        """SHAP values [n, self.features] in calibrated log-odds, and the base value that they add to."""
        values = self.explainer.shap_values(self.own(features), check_additivity=False)
        base = float(np.ravel(self.explainer.expected_value)[0])
        calibration = self.metadata.calibration
        return values * calibration.slope, base * calibration.slope + calibration.intercept

    def reasons(self, features: np.ndarray, currency: str) -> list[list[Reason]]:
        """Reasons for each row's score: at most REASONS known features that raised it, the strongest first.

        `features` is float64 [n, FEATURE_NAMES], with money in `currency`.
        """
        if not len(features):
            return []
        contributions, _ = self.contributions(features)
        told = np.where(np.isnan(self.own(features)), 0.0, contributions)  # what isn't known explains nothing to people
        strongest = np.argsort(-told, axis=1, kind="stable")[:, :REASONS]
        raised = np.take_along_axis(told, strongest, axis=1)
        return [
            self._row_reasons(Facts(dict(zip(FEATURE_NAMES, row, strict=True)), self.metadata.usual, currency), *best)
            for row, *best in zip(features.tolist(), strongest.tolist(), raised.tolist(), strict=True)
        ]

    def _row_reasons(self, facts: Facts, strongest: list[int], raised: list[float]) -> list[Reason]:
        """Reasons from the columns of the strongest features, and how much each raised the score."""
        names = [self.features[index] for index in strongest]
        return [
            Reason(feature=name, value=facts.values[name], contribution=contribution, text=sentence(name, facts))
            for name, contribution in zip(names, raised, strict=True)
            if contribution > 0
        ]


def _check_width(model: "HistGradientBoostingClassifier", metadata: Metadata) -> None:
    trained = getattr(model, "n_features_in_", 0)
    if trained != len(metadata.features):
        raise ArtifactError(
            f"model {metadata.version} was trained with {trained} features, and {METADATA_FILE} names "
            f"{len(metadata.features)}: restore it or train the model again"
        )


def _check_library(metadata: Metadata) -> None:
    trained, running = metadata.libraries.get("scikit-learn"), sklearn.__version__
    if trained != running:
        raise ArtifactError(
            f"model {metadata.version} was trained with scikit-learn {trained}, but {running} is running: "
            "install the locked version (requirements/spark.txt) or train the model again"
        )


def _check_features(metadata: Metadata) -> None:
    """A model may know fewer features than the code computes, in any order, and none that it doesn't."""
    unknown = sorted(set(metadata.features) - set(FEATURE_NAMES))
    if unknown:
        raise ArtifactError(
            f"model {metadata.version} was trained with features that this code doesn't compute ({unknown}): "
            "train the model again or use the code of its version"
        )
    if not metadata.features or len(set(metadata.features)) < len(metadata.features):
        raise ArtifactError(
            f"model {metadata.version} names no feature, or one twice: {METADATA_FILE} isn't what it was trained with; "
            "train the model again"
        )
