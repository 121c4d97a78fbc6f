"""All features of the model, in the order of its columns."""

from fraudstream.policy.columns import COMPONENT_COLUMNS
from model.features.entity_risk import ENTITY_SPECS
from model.features.familiarity import FAMILIARITY_SPECS
from model.features.habits import HABIT_SPECS
from model.features.profile import MAX_PRODUCTS
from model.features.purchase import PURCHASE_SPECS
from model.features.session import SESSION_SPECS
from model.features.spec import FeatureSpec
from model.features.static import STATIC_SPECS
from model.features.terminals import TERMINAL_SPECS
from model.features.windows import WINDOW_SPECS

STATEFUL_SPECS = SESSION_SPECS + WINDOW_SPECS + HABIT_SPECS + FAMILIARITY_SPECS + PURCHASE_SPECS
SPECS: dict[str, FeatureSpec] = {
    spec.name: spec for spec in STATEFUL_SPECS + STATIC_SPECS + ENTITY_SPECS + TERMINAL_SPECS
}

#: The features that `observe_transaction` computes.
STATEFUL_FEATURES: tuple[str, ...] = tuple(spec.name for spec in STATEFUL_SPECS)
#: All that `observe_transaction` returns: after its features, hashes of products the customer bought before, for
#: `StaticData.features`, which knows their categories.
STATEFUL_COLUMNS = STATEFUL_FEATURES + tuple(f"known_product_{number}" for number in range(MAX_PRODUCTS))
#: The features that `StaticData.features` computes from the static join.
STATIC_FEATURES: tuple[str, ...] = tuple(spec.name for spec in STATIC_SPECS)
#: The features that `EntityRisk.features` computes.
ENTITY_FEATURES: tuple[str, ...] = tuple(spec.name for spec in ENTITY_SPECS)
#: The features that `TerminalFacts.features` computes.
TERMINAL_FEATURES: tuple[str, ...] = tuple(spec.name for spec in TERMINAL_SPECS)
#: The columns of the model.
FEATURE_NAMES = STATEFUL_FEATURES + STATIC_FEATURES + ENTITY_FEATURES + TERMINAL_FEATURES
#: What a transaction is served with: the columns of the model, and those that only rules know.
SERVED_COLUMNS = FEATURE_NAMES + COMPONENT_COLUMNS
