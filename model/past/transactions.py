"""The transactions and labels of a past, in columns: what entity risk counts, and what the rollups add up."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudstream.static_data.currencies import CurrencyRates
from model.past.folder import parts
from model.training.history import LABELS, TRANSACTIONS, HistoryFolder, read_part

MILLISECONDS = pa.timestamp("ms", "UTC")
RISK_COLUMNS = (
    "transaction_id", "event_time", "customer_id", "device_id", "card_token", "shipping_latitude", "shipping_longitude",
    "items", "terminal_id",
)  # fmt: skip
#: The columns of `fraud.past_transactions` that an import fills.
PAST_COLUMNS = (*RISK_COLUMNS, "shop_amount")
_ROLLUP_COLUMNS = ("session_id", "amount", "currency", "payment_method", "shipping_city", "shipping_country", "shop")


@dataclass(frozen=True)
class Labels:
    """All labels of a history, by their time and, of equal times, in order of arrival.

    `table` has transaction_id, number (counted from 0), is_fraud and labelled_at.
    """

    table: pa.Table

    @classmethod
    def read(cls, folder: HistoryFolder) -> "Labels":
        """The labels of a folder: maybe none."""
        columns = ["transaction_id", "is_fraud", "labelled_at"]
        schema = pa.schema([("transaction_id", pa.string()), ("is_fraud", pa.bool_()), ("labelled_at", MILLISECONDS)])
        # Those of the warm-up came before.
        files = [*folder.warm_up.parts_if_any(LABELS), *folder.parts_if_any(LABELS)]
        found = pa.concat_tables(
            [schema.empty_table(), *(pq.read_table(part, columns=columns).cast(schema) for part in files)]
        )
        order = np.argsort(found["labelled_at"].cast(pa.int64()).to_numpy(), kind="stable")
        found = found.take(pa.array(order))
        return cls(found.add_column(1, "number", pa.array(np.arange(len(found)))))

    def frauds(self, moment_ms: int) -> pd.Index:
        """Transactions that are fraud by their newest label at `moment_ms` (milliseconds since the epoch)."""
        known = self.table.filter(pc.less_equal(self.table["labelled_at"].cast(pa.int64()), moment_ms)).to_pandas()
        newest = known.drop_duplicates("transaction_id", keep="last")
        frauds: pd.Index = pd.Index(newest.loc[newest["is_fraud"].astype(bool), "transaction_id"])
        return frauds

    def of(self, transactions: pd.Index) -> pa.Table:
        """The labels of these transactions."""
        mine = transactions.get_indexer(self.table["transaction_id"].to_numpy(zero_copy_only=False)) >= 0
        return self.table.filter(pa.array(mine))


class Transactions:
    """The transactions of a history, a file of them in memory at a time; of repeated ones the first counts."""

    def __init__(self, folder: HistoryFolder) -> None:
        self._parts = parts(folder, TRANSACTIONS)
        identifiers = [read_part(part, ["transaction_id"]) for part in self._parts]
        ends = np.cumsum([len(each) for each in identifiers])
        every = pa.concat_tables(identifiers)["transaction_id"].to_pandas()
        self._first = np.split((~every.duplicated()).to_numpy(), ends[:-1])

    @property
    def read(self) -> int:
        """Number of rows, repeated ones among them."""
        return sum(map(len, self._first))

    def __len__(self) -> int:
        return int(sum(first.sum() for first in self._first))

    def tables(self) -> Iterator[pa.Table]:
        """The rows of each file, with RISK_COLUMNS and what the rollups need; event_time is in milliseconds."""
        for part, first in zip(self._parts, self._first, strict=True):
            table = read_part(part, [*RISK_COLUMNS, *_ROLLUP_COLUMNS]).filter(pa.array(first))
            at = table.schema.get_field_index("event_time")
            yield table.set_column(at, "event_time", table["event_time"].cast(MILLISECONDS))


def times_ms(table: pa.Table) -> np.ndarray:
    """The rows' event times, milliseconds since the epoch, int64 [n]."""
    times: np.ndarray = table["event_time"].cast(pa.int64()).to_numpy()
    return times


def exchange_rates(table: pa.Table, rates: CurrencyRates) -> np.ndarray:
    """Each row's exchange rate, NaN where none is known; float64 [n]."""
    return rates.column(table["currency"].to_numpy(zero_copy_only=False), times_ms(table))


def slim(table: pa.Table, rates: np.ndarray, since_ms: int, since_at_terminals_ms: int | None = None) -> pa.Table:
    """PAST_COLUMNS of the rows since then, for `fraud.past_transactions`: items are JSON, with products only.

    Of those with a terminal, since an earlier time: milliseconds since the epoch, both. `rates` are each row's exchange
    rate.
    """
    since = np.full(len(table), since_ms)
    if since_at_terminals_ms is not None:
        since[table["terminal_id"].is_valid().to_numpy()] = since_at_terminals_ms
    amounts = pa.array(table["amount"].to_numpy() * rates, from_pandas=True)
    table = table.select(RISK_COLUMNS).append_column("shop_amount", amounts)
    table = table.filter(pa.array(times_ms(table) >= since))
    items = table["items"].combine_chunks()
    return table.set_column(table.schema.get_field_index("items"), "items", _as_json(items))


def _as_json(items: pa.Array) -> pa.Array:
    products = pc.dictionary_encode(items.flatten().field("product_id"))
    words = pa.array([json.dumps({"product_id": name}) for name in products.dictionary.to_pylist()], pa.string())
    lengths = pc.fill_null(pc.list_value_length(items), 0)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths.to_numpy())]), pa.int32())
    lines = pa.ListArray.from_arrays(offsets, words.take(products.indices))
    told = pc.binary_join_element_wise("[", pc.binary_join(lines, ", "), "]", "")
    return pc.if_else(items.is_valid(), told, pa.scalar(None, pa.string()))
