"""Calibration: scores that are probabilities (Platt, "Probabilistic Outputs for Support Vector Machines", 1999).

The classifier's log-odds z become slope · z + intercept, fitted on a period that it hasn't seen. The map is strictly
increasing, so ranking stays as it is, without ties; and SHAP values in log-odds stay exact, times the slope.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression

from model.serving.artifact import Calibration
from model.training.errors import TrainingError


def fit_calibration(log_odds: np.ndarray, truth: np.ndarray) -> Calibration:
    """Fits on log-odds [n] and truth [n], where both frauds and others are. Raises TrainingError for useless scores."""
    regression = LogisticRegression(C=np.inf).fit(log_odds[:, None], truth)
    slope, intercept = float(regression.coef_[0, 0]), float(regression.intercept_[0])
    if slope <= 0:
        raise TrainingError(
            f"in the validation period frauds don't score higher than other transactions (slope {slope:.3g}): "
            "the history's labels or its times are wrong"
        )
    return Calibration(slope=slope, intercept=intercept)
