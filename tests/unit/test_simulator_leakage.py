"""No single column of a transaction gives fraud away."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from tests.unit.simulated import plan, read, written

LIMIT = 0.85

NUMBERS = (
    "amount",
    "promo_amount",
    "shipping_fee",
    "shipping_latitude",
    "shipping_longitude",
    "lines",
    "units",
    "dearest",
    "hour",
    "abroad",
    "cents",
    "serial",
)
WORDS = (
    "session_id",
    "customer_id",
    "items",
    "payment_method",
    "card_token",
    "promo_code",
    "shipping_city",
    "shipping_country",
    "shipping_latitude",
    "ip_country",
    "device_id",
    "currency",
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("history")
    written(folder, plan(100_000, 60))
    rows = read(folder, "transactions").merge(read(folder, "truth")[["transaction_id", "is_fraud"]])
    rows["lines"] = rows["items"].str.len()
    rows["units"] = rows["items"].map(lambda lines: sum(line["quantity"] for line in lines))
    rows["dearest"] = rows["items"].map(lambda lines: max(line["unit_price"] for line in lines))
    rows["hour"] = rows.event_time.dt.hour
    rows["abroad"] = rows.ip_country != rows.shipping_country
    rows["cents"] = (rows.amount * 100).round() % 100
    rows["serial"] = rows.transaction_id.str[-12:].map(lambda digits: int(digits, 16))
    return rows


def separation(truth: pd.Series, score: object) -> float:
    auc = roc_auc_score(truth, score)
    return float(max(auc, 1 - auc))


@pytest.mark.parametrize("column", NUMBERS)
def test_no_number_separates_fraud(rows: pd.DataFrame, column: str) -> None:
    values = rows[[column]].astype(float)
    assert separation(rows.is_fraud, values) < LIMIT
    half = len(rows) // 2
    model = HistGradientBoostingClassifier(max_depth=4, max_iter=50).fit(values[:half], rows.is_fraud[:half])
    assert separation(rows.is_fraud[half:], model.predict_proba(values[half:])[:, 1]) < LIMIT


@pytest.mark.parametrize("column", WORDS)
def test_no_word_separates_fraud(rows: pd.DataFrame, column: str) -> None:
    words = rows[column].astype(str)
    half = len(rows) // 2
    past = rows.is_fraud[:half].groupby(words[:half]).agg(["sum", "count"])
    risk = (past["sum"] + 0.2) / (past["count"] + 20)
    assert separation(rows.is_fraud[half:], words[half:].map(risk).fillna(0.01)) < LIMIT
    assert separation(rows.is_fraud, words.map(words.value_counts())) < LIMIT
    assert separation(rows.is_fraud, rows.groupby(words).cumcount()) < LIMIT


def test_the_first_bytes_of_identifiers_tell_nothing(rows: pd.DataFrame) -> None:
    for column in ("device_id", "card_token"):
        known = rows[column].dropna()
        digits = known.str[2:10].map(lambda text: int(text, 16))
        assert separation(rows.is_fraud[known.index], digits) < 0.6
        assert known.str.len().nunique() == 1
    assert np.isfinite(rows.amount).all()
