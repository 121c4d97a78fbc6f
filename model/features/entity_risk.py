"""Features from entity risk: how much fraud, and how many customers, were seen on an entity as of the last refresh.

The smoothed fraud rate is the mean of the posterior of a beta prior whose mean is the shop's own rate (empirical Bayes;
the m-estimate of Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes", SIGKDD
Explorations 3(1), 2001, equation 3):

    rate = (frauds + m * base) / (transactions + m),  m = PRIOR_TRANSACTIONS, base = all frauds / all transactions

The feature is `rate / base`, so that it means the same in a shop, or at a time, with more fraud: 1 is usual.

Only entities that say something are kept: with at least one labelled fraud, or more than one customer. One that is
absent has neither, so that its risk is 1, with no fraud and one customer. All is NaN before there is any refresh with
a transaction; so are those of what a transaction lacks, and the category's without a known product.
"""

from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pandas as pd

from fraudstream.messages.places import is_city
from fraudstream.policy.columns import COMPONENT_COLUMNS
from fraudstream.static_data.entities import CELLS_PER_DEGREE, PRIOR_TRANSACTIONS, WINDOW_DAYS, EntityType
from model.features.spec import USUAL, FeatureSpec
from model.features.terminals import TerminalFacts


def _of_entity(entity: EntityType, words: str) -> tuple[FeatureSpec, ...]:
    """Risk, frauds and customers of an entity as of the last refresh."""
    window = f"{WINDOW_DAYS} days"
    return (
        FeatureSpec(f"{entity}_risk", f"smoothed rate of labelled fraud of the {words}, over the shop's", "ratio",
                    window, f"fraud with this {words} is {{value}} the shop's average"
                    f"[; {{{entity}_frauds:known fraud}} in {window}]"),
        FeatureSpec(f"{entity}_frauds", f"transactions of the {words} that are labelled as fraud", "count", window,
                    f"{{value:known fraud}} with this {words} in {window}{USUAL}"),
        FeatureSpec(f"{entity}_customers", f"distinct customers of the {words}, at least 1", "count", window,
                    f"{{value:customer}} with this {words} in {window}{USUAL}"),
    )  # fmt: skip


ENTITY_SPECS = (
    *_of_entity(EntityType.DEVICE, "device"),
    *_of_entity(EntityType.SHIPPING_ADDRESS, "shipping address"),
    *_of_entity(EntityType.CARD_TOKEN, "card"),
    FeatureSpec(f"{EntityType.CATEGORY}_risk",
                "smoothed rate of labelled fraud of the transaction's riskiest category, over the shop's", "ratio",
                f"{WINDOW_DAYS} days", "fraud with products of this category is {value} the shop's average"),
)  # fmt: skip

_COUNTS = ("transactions", "frauds", "customers")
ENTITY_COLUMNS = ("entity_type", "entity_id", *_COUNTS, *COMPONENT_COLUMNS)
#: The column of a transaction that holds the entity's id, where there is one.
ID_COLUMNS = {EntityType.DEVICE: "device_id", EntityType.CARD_TOKEN: "card_token"}


@dataclass(frozen=True)
class Counts:
    """Counts of the entities at n places: float64 [n] each."""

    transactions: np.ndarray
    frauds: np.ndarray
    customers: np.ndarray


@dataclass(frozen=True)
class Uses:
    """Uses of one type's entities by transactions: `entity` [n] by the transaction in `row` [n], ascending."""

    row: np.ndarray
    entity: np.ndarray


@dataclass(frozen=True)
class EntityRisk:
    """The newest refresh, ready to be joined; picklable. `version` is the row of fraud.entity_risk_versions."""

    version: int = 0
    transactions: int = 0  # of the shop, in the window
    frauds: int = 0
    entities: dict[str, pd.DataFrame] = field(default_factory=dict)  # a type's counts (ENTITY_COLUMNS) by entity_id
    terminals: TerminalFacts = field(default_factory=TerminalFacts)  # of the same refresh

    @classmethod
    def from_frame(cls, entities: pd.DataFrame, version: int, transactions: int, frauds: int) -> "EntityRisk":
        """Entity risk from rows of fraud.entity_risk and its version's totals. Raises KeyError for a missing column."""
        rows = entities[list(ENTITY_COLUMNS)].set_index("entity_id")
        by_type = {str(name): part.drop(columns="entity_type") for name, part in rows.groupby("entity_type")}
        return cls(version, transactions, frauds, by_type)

    def features(self, transactions: pd.DataFrame, categories: pd.Series) -> np.ndarray:
        """ENTITY_FEATURES of each transaction, float64 [n, features]. `categories` are the names by product_id.

        Needs the columns device_id, card_token, shipping_latitude, shipping_longitude and items.
        """
        return self.served(transactions, categories)[:, : len(ENTITY_SPECS)]

    def served(self, transactions: pd.DataFrame, categories: pd.Series) -> np.ndarray:
        """ENTITY_FEATURES and then COMPONENT_COLUMNS of each transaction, float64 [n, columns]; as `features`."""
        rows = len(transactions)
        uses = {entity_type: uses_of(entity_type, transactions, categories) for entity_type in EntityType}
        found = {entity_type: self._found(entity_type, use.entity) for entity_type, use in uses.items()}
        counts = {entity_type: Counts(*columns[: len(_COUNTS)]) for entity_type, columns in found.items()}
        base = np.full(rows, self.frauds / self.transactions if self.transactions else np.nan)
        return np.column_stack([entity_features(uses, counts, base), _components(uses, found, base)])

    def _found(self, entity_type: EntityType, identifiers: np.ndarray) -> list[np.ndarray]:
        """Counts of each entity as of the refresh, and its component; zeros for an entity that isn't in it."""
        known = self.entities.get(entity_type)
        if known is None:
            return [np.zeros(len(identifiers))] * (len(_COUNTS) + len(COMPONENT_COLUMNS))
        place = known.index.get_indexer(pd.Index(identifiers))
        return [np.append(known[name].to_numpy(float), 0.0)[place] for name in ENTITY_COLUMNS[2:]]


def uses_of(entity_type: EntityType, transactions: pd.DataFrame, categories: pd.Series) -> Uses:
    """The entities of a type that each transaction used, by the identifiers of fraud.entity_risk; each once."""
    if entity_type is EntityType.CATEGORY:
        return _categories_of(transactions["items"].tolist(), categories)
    if entity_type is EntityType.SHIPPING_ADDRESS:
        latitude, longitude = (transactions[f"shipping_{name}"].to_numpy(float) for name in ("latitude", "longitude"))
        identifiers = shipping_addresses(latitude, longitude)
    else:
        identifiers = transactions[ID_COLUMNS[entity_type]].to_numpy(object)
    row = np.flatnonzero(pd.notna(identifiers))
    return Uses(row, identifiers[row])


def shipping_addresses(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """The id of each address's cell: its numbers north and east, such as 525200:134100; None where there is none."""
    identifiers = np.full(len(latitude), None, object)
    row = np.flatnonzero(~np.isnan(latitude + longitude) & ~is_city(latitude, longitude))
    cells = (np.floor(axis[row] * CELLS_PER_DEGREE + 0.5).astype(int).astype(str) for axis in (latitude, longitude))
    north, east = cells
    identifiers[row] = np.char.add(np.char.add(north, ":"), east)
    return identifiers


def entity_features(uses: dict[EntityType, Uses], counts: dict[EntityType, Counts], base: np.ndarray) -> np.ndarray:
    """ENTITY_FEATURES from the counts of each use and the shop's own fraud rate at each row; [rows, features]."""
    columns: dict[str, np.ndarray] = {}
    for entity_type in EntityType:
        use, known = uses[entity_type], _absent_unless_kept(counts[entity_type])
        risk = relative_risk(known.frauds, known.transactions, base[use.row])
        if entity_type is EntityType.CATEGORY:
            columns[f"{entity_type}_risk"] = _largest(use.row, risk, base)
        else:
            columns[f"{entity_type}_risk"] = _placed(use.row, risk, base)
            columns[f"{entity_type}_frauds"] = _placed(use.row, known.frauds, base)
            columns[f"{entity_type}_customers"] = _placed(use.row, known.customers, base)
    return np.column_stack([columns[spec.name] for spec in ENTITY_SPECS])


def _components(
    uses: dict[EntityType, Uses], found: dict[EntityType, list[np.ndarray]], base: np.ndarray
) -> np.ndarray:
    """COMPONENT_COLUMNS: the largest of each row's entities, without those that tie nobody; [rows, columns]."""
    columns = np.full((len(COMPONENT_COLUMNS), len(base)), np.nan)
    for entity_type, use in uses.items():
        customers, frauds = found[entity_type][len(_COUNTS) :]
        if entity_type is not EntityType.CATEGORY:
            for column, values in zip(columns, (np.maximum(customers, 1.0), frauds), strict=True):
                column[use.row] = np.fmax(column[use.row], values)
    columns[:, np.isnan(base)] = np.nan
    return columns.T


def relative_risk(frauds: np.ndarray, transactions: np.ndarray, base: np.ndarray) -> np.ndarray:
    """The smoothed fraud rate over `base`, as in the module's docstring; where `base` is 0, its limit."""
    relative = np.divide(frauds, base, out=np.zeros(len(frauds)), where=base > 0)
    risk: np.ndarray = (relative + PRIOR_TRANSACTIONS) / (transactions + PRIOR_TRANSACTIONS)
    return risk


def _absent_unless_kept(counts: Counts) -> Counts:
    """Counts in which an entity that a refresh doesn't keep is absent."""
    kept = (counts.frauds > 0) | (counts.customers > 1)
    return Counts(
        np.where(kept, counts.transactions, 0.0), np.where(kept, counts.frauds, 0.0), np.maximum(counts.customers, 1.0)
    )


def _placed(row: np.ndarray, values: np.ndarray, base: np.ndarray) -> np.ndarray:
    """A column with `values` at their rows; NaN elsewhere, and where nothing is known of the shop."""
    column = np.full(len(base), np.nan)
    column[row] = values
    column[np.isnan(base)] = np.nan
    return column


def _largest(row: np.ndarray, values: np.ndarray, base: np.ndarray) -> np.ndarray:
    """A column with the largest of `values` at each row; NaN as in `_placed`."""
    column = np.full(len(base), -np.inf)
    np.maximum.at(column, row, values)
    column[np.isinf(column) | np.isnan(base)] = np.nan
    return column


def _categories_of(found: list[list[dict[str, object]] | None], categories: pd.Series) -> Uses:
    items = [() if each is None else each for each in found]
    lines = np.fromiter(map(len, items), int, len(items))
    place = categories.index.get_indexer(pd.Index([item["product_id"] for item in chain.from_iterable(items)]))
    codes, names = pd.factorize(categories.to_numpy(object))
    row, code = np.repeat(np.arange(len(items)), lines)[place >= 0], codes[place[place >= 0]]
    pairs = np.unique(row * len(names) + code)
    return Uses(pairs // max(len(names), 1), names[pairs % max(len(names), 1)])
