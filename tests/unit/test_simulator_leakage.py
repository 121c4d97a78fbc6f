"""No single raw column of a transaction gives fraud away, and a small tree on all of them finds little."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.training.leakage import NUMBERS, WORDS, Leakage, measure, raw_columns, separation
from tests.unit.simulated import plan, read, written

COLUMN_LIMIT = 0.80
TREE_LIMIT = 0.45


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    written(folder, plan(100_000, 60))
    return folder


@pytest.fixture(scope="module")
def rows(history: Path) -> pd.DataFrame:
    return raw_columns(read(history, "transactions"))


@pytest.fixture(scope="module")
def fraud(history: Path, rows: pd.DataFrame) -> np.ndarray:
    truth = read(history, "truth").set_index("transaction_id")["is_fraud"]
    return truth.reindex(rows.transaction_id).to_numpy(bool)


@pytest.fixture(scope="module")
def leakage(rows: pd.DataFrame, fraud: np.ndarray) -> Leakage:
    return measure(rows, fraud)


@pytest.mark.parametrize("column", [*NUMBERS, *WORDS])
def test_no_column_of_a_later_period_separates_fraud(leakage: Leakage, column: str) -> None:
    assert leakage.columns[column] < COLUMN_LIMIT


def test_a_small_tree_on_raw_columns_finds_little(leakage: Leakage) -> None:
    assert leakage.tree < TREE_LIMIT


def test_a_column_that_gives_fraud_away_would_be_noticed(rows: pd.DataFrame, fraud: np.ndarray) -> None:
    leaking = rows.assign(payment_method=np.where(fraud, "card", "paypal"), cents=fraud * 50.0)
    found = measure(leaking, fraud)
    assert found.columns["payment_method"] == found.columns["cents"] == 1.0
    assert found.tree > 0.95


def test_how_often_a_word_occurs_tells_little(rows: pd.DataFrame, fraud: np.ndarray) -> None:
    for column in WORDS:
        words = rows[column].astype(str)
        assert separation(fraud, words.map(words.value_counts()).to_numpy()) < COLUMN_LIMIT, column


def test_the_first_bytes_of_identifiers_tell_nothing(rows: pd.DataFrame, fraud: np.ndarray) -> None:
    for column in ("device_id", "card_token"):
        known = rows[column].dropna()
        digits = known.str[2:10].map(lambda text: int(text, 16))
        assert separation(fraud[known.index], digits.to_numpy()) < 0.6
        assert known.str.len().nunique() == 1
    assert np.isfinite(rows.amount).all()
