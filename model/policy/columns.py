"""The columns that conditions may name over this model's features, and what each of them is."""

from dataclasses import dataclass

from fraudstream.policy.columns import MEANINGS, TRANSACTION_COLUMNS, TYPES_IN_WORDS, columns_with
from model.features.columns import FEATURE_NAMES, SPECS

#: Each column with DuckDB's type.
COLUMNS = columns_with(FEATURE_NAMES)
#: Units that need words.
_UNITS = {"flag": "1 is yes, 0 is no", "share": "0 to 1", "money": "in the shop currency", "hour": "hour of the day"}


@dataclass(frozen=True)
class DescribedColumn:
    """A column for whoever writes a condition: its name, what it is, and what its values are."""

    name: str
    meaning: str
    values: str


def described() -> list[DescribedColumn]:
    """All columns: the transaction's own and its component's, then the features."""
    own = [DescribedColumn(name, meaning, TYPES_IN_WORDS[COLUMNS[name]]) for name, meaning in MEANINGS.items()]
    features = [
        DescribedColumn(name, spec.definition, _UNITS.get(spec.unit, spec.unit))
        for name, spec in SPECS.items()
        if name not in TRANSACTION_COLUMNS
    ]
    return own + features
