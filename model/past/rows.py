"""What Postgres gets of a past: what lies in entity risk's window, with its labels, and all rollups."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from fraudstream.static_data.currencies import CurrencyRates
from fraudstream.static_data.entities import terminals_start, window_start
from model.durations import HOUR_MS
from model.past.rollups import Rollups, flagged_sessions
from model.past.transactions import Labels, Transactions, exchange_rates, slim
from model.training.history import HistoryFolder


@dataclass(frozen=True)
class Rows:
    """Rows for Postgres, and how many transactions they are of: `read`, and `different` ones among them."""

    transactions: list[pa.Table]
    labels: pa.Table
    windows: dict[str, pa.Table]
    read: int
    different: int
    all_labels: int
    unpriced: int
    """Transactions in a currency without an exchange rate."""


def read_rows(folder: HistoryFolder, rates: CurrencyRates, last_ms: int, now_ms: int, shop: str) -> Rows:
    """Reads a history's transactions and labels until `last_ms`, as known at `now_ms` (milliseconds since the epoch).

    `shop` is that of a transaction that names none.
    """
    labels, transactions = Labels.read(folder), Transactions(folder)
    frauds = labels.frauds(now_ms)
    last_day = last_ms // HOUR_MS // 24 * 24
    rollups = Rollups(frauds, flagged_sessions(transactions.tables(), frauds), shop, last_day)
    slimmed, unpriced = [], 0
    for table in transactions.tables():
        of_rows = exchange_rates(table, rates)
        unpriced += int(np.isnan(of_rows).sum())
        rollups.add(table, of_rows)
        slimmed.append(slim(table, of_rows, window_start(now_ms), terminals_start(now_ms)))
    kept = pd.Index(pa.concat_tables(slimmed)["transaction_id"].to_pandas())
    counts = (transactions.read, len(transactions), len(labels.table), unpriced)
    return Rows(slimmed, labels.of(kept), rollups.windows(), *counts)
