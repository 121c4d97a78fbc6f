"""The declaration of a feature: for the model, for the sentences that explain a flag, and for the documentation."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal[
    "count", "seconds", "hours", "days", "money", "ratio", "share", "deviations", "km", "km/h", "hour", "flag", "method"
]


@dataclass(frozen=True)
class FeatureSpec:
    """One feature. Its value is NaN where it isn't known.

    `template` is the sentence for a reason; `{value}` and `{usual}` (the median of legitimate training transactions)
    are written in the feature's unit. A flag has two sentences, `template` for 1 and `otherwise` for 0.
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
