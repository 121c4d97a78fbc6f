"""The libraries of scoring, without what they load for plots that nobody draws here. They take seconds to import."""

import sys

sys.modules["matplotlib"] = None  # type: ignore[assignment] # shap would load it

import shap  # noqa: E402, F401 (imported for those who score)
