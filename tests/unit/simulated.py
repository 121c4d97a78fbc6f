"""Helpers of the simulator's tests: histories, read back."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from fraudstream.simulator.history import Written, write_history
from fraudstream.simulator.history_plan import HistoryPlan

END = datetime(2026, 11, 1, tzinfo=UTC)


def plan(transactions: int, days: float, *, seed: int = 42, end: datetime = END) -> HistoryPlan:
    return HistoryPlan(seed, 20_000, 1_000, transactions, 0.01, days, end)


def written(folder: Path, what: HistoryPlan, workers: int = 2) -> list[Written]:
    return list(write_history(folder, what, workers))


def read(folder: Path, dataset: str) -> pd.DataFrame:
    parts = sorted((folder / dataset).glob("part-*.parquet"))
    return pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)
