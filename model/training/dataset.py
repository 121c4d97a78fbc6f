"""The training table of a history: features, truth, and what was known of it when."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fraudstream.messages.contracts import Transaction
from fraudstream.settings import EntityRiskSettings
from fraudstream.static_data.currencies import CurrencyRates
from fraudstream.static_data.entities import WINDOW_DAYS
from model.features.columns import FEATURE_NAMES, STATEFUL_FEATURES, STATIC_FEATURES
from model.features.static import CUSTOMER_COLUMNS, PRODUCT_COLUMNS, StaticData
from model.features.terminals import HORIZON_DAYS
from model.training.entity_history import entity_features_as_of, milliseconds
from model.training.history import HistoryFolder, read_part
from model.training.stateful import stateful_features
from model.training.terminal_history import terminal_features_as_of

LEGITIMATE = "legitimate"
FRAUD = "fraud"  # the scenario, where nobody knows which
_STATIC_CHUNK = 50_000
_RISK_COLUMNS = [
    "transaction_id", "event_time", "customer_id", "device_id", "card_token", "shipping_latitude", "shipping_longitude",
    "items", "terminal_id", "amount", "currency",
]  # fmt: skip


@dataclass(frozen=True)
class Dataset:
    """A table for training: one row a transaction, by time; `features` is float64 [n, features].

    `rows` has customer_id, event_time, shop_amount (in the shop currency; NaN without an exchange rate), labelled_at,
    labelled_fraud, is_fraud and scenario. Where nobody knows the truth (`from_labels`), is_fraud is what the labels
    say. `labels` has all labels of the rows (transaction_id, labelled_at, is_fraud), by labelled_at; None: the rows'
    own are the only ones.
    """

    rows: pd.DataFrame
    features: np.ndarray
    from_labels: bool = False
    labels: pd.DataFrame | None = None

    def part(self, chosen: np.ndarray) -> "Dataset":
        """The dataset of the rows where `chosen`, bool [n], is true."""
        return Dataset(self.rows[chosen], self.features[chosen], self.from_labels, self.labels)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def truth(self) -> np.ndarray:
        """True fraud flags of the rows, bool [n]."""
        return self.rows["is_fraud"].to_numpy(bool)

    @property
    def known_amounts(self) -> np.ndarray:
        """Amounts of the rows in the shop currency, float64 [n]; 0 where none is known, since it adds to nothing."""
        amounts: np.ndarray = self.rows["shop_amount"].fillna(0.0).to_numpy(float)
        return amounts

    def known_fraud(self, moment: pd.Timestamp) -> np.ndarray:
        """Flags of rows whose newest label at `moment` says fraud, bool [n]; one without any counts as legitimate."""
        if self.labels is None:
            return (self.rows["labelled_fraud"] & (self.rows["labelled_at"] <= moment)).to_numpy(bool)
        known = self.labels[self.labels["labelled_at"] <= moment].drop_duplicates("transaction_id", keep="last")
        verdicts = known.set_index("transaction_id")["is_fraud"].reindex(self.rows.index)
        return verdicts.eq(True).to_numpy(bool)


def build(
    folder: HistoryFolder,
    processes: int,
    progress: Callable[[int], None],
    entity_risk: EntityRiskSettings,
    rates: CurrencyRates,
) -> Dataset:
    """Computes the history's features and joins labels and truth. Raises HistoryError.

    Amounts are converted with `rates`. Calls `progress` now and then with the number of events done.
    """
    stateful = stateful_features(folder, processes, progress, rates)
    transactions = folder.table("transactions").drop_duplicates("transaction_id").set_index("transaction_id")
    transactions = transactions.loc[transactions.index.isin(stateful.index)]
    transactions = transactions.sort_values("event_time", kind="stable")
    times = milliseconds(transactions["event_time"])
    for name in Transaction.__struct_fields__:
        if name not in transactions.columns:
            transactions[name] = None  # this shop has none
    transactions["exchange_rate"] = rates.column(transactions["currency"].to_numpy(object), times)
    transactions["shop_amount"] = transactions["amount"] * transactions["exchange_rate"]
    static = _static_data(folder)
    columns = stateful.reindex(transactions.index).to_numpy()
    own, joined = len(STATEFUL_FEATURES), len(STATEFUL_FEATURES) + len(STATIC_FEATURES)
    features = np.empty((len(transactions), len(FEATURE_NAMES)))
    features[:, :own] = columns[:, :own]
    for start in range(0, len(transactions), _STATIC_CHUNK):
        part = slice(start, start + _STATIC_CHUNK)
        features[part, own:joined] = static.features(transactions.iloc[part], columns[part, own:])
    labels = labels_of(folder)
    known = _with_warm_up(folder, transactions, rates)
    as_of = entity_features_as_of(known, labels, static.categories, entity_risk)
    as_of = np.hstack([as_of, terminal_features_as_of(known, labels)])
    features[:, joined:] = as_of[known.index.get_indexer(transactions.index)]
    rows = outcomes(folder, transactions[["customer_id", "event_time", "shop_amount"]], labels)
    return Dataset(rows, features, not folder.has("truth"), labels[labels["transaction_id"].isin(rows.index)])


def _static_data(folder: HistoryFolder) -> StaticData:
    customers, products = (
        pd.DataFrame(columns=list(columns)) if (rows := folder.static(name)) is None else rows
        for name, columns in (("customers", CUSTOMER_COLUMNS), ("products", PRODUCT_COLUMNS))
    )
    customers["registered_at"] = pd.to_datetime(customers["registered_at"], utc=True)
    return StaticData.from_frames(customers, products)


def labels_of(folder: HistoryFolder) -> pd.DataFrame:
    """All labels, those of the warm-up too, by their time; of equal times, in order of arrival."""
    parts = [each.table("labels") for each in (folder.warm_up, folder) if each.has("labels")]
    return pd.concat(parts or [folder.table("labels")]).sort_values("labelled_at", kind="stable", ignore_index=True)


def _with_warm_up(folder: HistoryFolder, transactions: pd.DataFrame, rates: CurrencyRates) -> pd.DataFrame:
    """The columns that entity risk and terminals need, of the warm-up's transactions and `transactions`, by time.

    Without those that no refresh of the period counts: a past may be years long.
    """
    since = transactions["event_time"].min() - pd.Timedelta(days=max(WINDOW_DAYS, HORIZON_DAYS) + 2)
    counted = pc.field("event_time") >= pa.scalar(since.to_pydatetime(), pa.timestamp("ms", "UTC"))
    before = [_slim(read_part(part, _RISK_COLUMNS, counted)) for part in folder.warm_up.parts_if_any("transactions")]
    if not before:
        return transactions
    past = pd.concat(before).drop_duplicates("transaction_id").set_index("transaction_id")
    past = past[~past.index.isin(transactions.index)]
    exchange_rate = rates.column(past["currency"].to_numpy(object), milliseconds(past["event_time"]))
    past = past.assign(shop_amount=past["amount"] * exchange_rate)
    return pd.concat([past, transactions[past.columns]]).sort_values("event_time", kind="stable")


def _slim(table: pa.Table) -> pd.DataFrame:
    """Rows whose items are of one object a product, since a million of the file's own take a gigabyte."""
    items = table["items"].combine_chunks()
    products = items.flatten().field("product_id").to_pylist()
    shared = {product: {"product_id": product} for product in products}
    ends = np.cumsum(pc.fill_null(pc.list_value_length(items), 0).to_numpy()).tolist()
    starts, known = [0, *ends[:-1]], items.is_valid().to_pylist()
    frame: pd.DataFrame = table.drop_columns("items").to_pandas()
    lists = [
        [shared[name] for name in products[a:b]] if is_known else None
        for a, b, is_known in zip(starts, ends, known, strict=True)
    ]
    return frame.assign(items=pd.Series(lists, frame.index, object))


def outcomes(folder: HistoryFolder, transactions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """The last label and the truth of each transaction."""
    verdicts = labels.groupby("transaction_id")
    rows = transactions.copy()
    rows["labelled_at"] = verdicts["labelled_at"].last()
    rows["labelled_fraud"] = verdicts["is_fraud"].last().reindex(rows.index).eq(True)
    if not folder.has("truth"):
        return rows.assign(
            is_fraud=rows["labelled_fraud"], scenario=np.where(rows["labelled_fraud"], FRAUD, LEGITIMATE)
        )
    truth = folder.table("truth").drop_duplicates("transaction_id").set_index("transaction_id")
    rows["is_fraud"] = truth["is_fraud"].reindex(rows.index).eq(True)
    rows["scenario"] = truth["scenario"].reindex(rows.index).fillna(LEGITIMATE)
    return rows
