"""The declaration of a feature: for the model, for the sentences that explain a flag, and for the documentation."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal[
    "count", "seconds", "hours", "days", "money", "ratio", "share", "deviations", "km", "km/h", "hour", "flag", "method"
]

#: The end of a sentence that compares with the shop: left out where what is usual isn't known.
USUAL = "[; usual: {usual}]"


@dataclass(frozen=True)
class FeatureSpec:
    """One feature. Its value is NaN where it isn't known.

    `template` is the sentence for a reason, and `otherwise` that for a value of 0. In braces stand the feature's own
    `value`, the `usual` one (the median of legitimate training transactions), other features by their names, and what
    follows from several (`model.serving.reasons`); a colon, and the noun that is counted, or a scale of words. What
    stands in brackets is left out where something that it names isn't known; `|` is between alternatives.
    """

    name: str
    definition: str
    unit: Unit
    window: str
    template: str
    otherwise: str = ""


def of_session(name: str, definition: str, unit: Unit, template: str, otherwise: str = "") -> FeatureSpec:
    """A feature of the purchase's browsing session."""
    return FeatureSpec(name, definition, unit, "session", template, otherwise)


def of_customer(name: str, definition: str, unit: Unit, template: str, otherwise: str = "") -> FeatureSpec:
    """A feature of all that is known of the customer."""
    return FeatureSpec(name, definition, unit, "customer", template, otherwise)


def of_transaction(name: str, definition: str, unit: Unit, template: str, otherwise: str = "") -> FeatureSpec:
    """A feature of the transaction itself."""
    return FeatureSpec(name, definition, unit, "transaction", template, otherwise)
