"""The leakage of raw columns, without features: `python -m model.training.leakage --history DIR`.

A simulated shop whose frauds one column gives away proves nothing. Every raw column of a transaction is measured by
itself, and a small tree on all of them, with a split by time: what is learned is learned on the earlier part and
applied to the later one. A random split would tell another story, since the purchases of one attack would fall on both
sides of it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from model.training.history import HistoryFolder

#: Columns that are numbers; the last are read off a raw column: `items`, `event_time`, `transaction_id`.
NUMBERS = (
    "amount", "promo_amount", "shipping_fee", "shipping_latitude", "shipping_longitude",
    "item_lines", "item_units", "item_price", "hour", "weekday", "cents", "serial",
)  # fmt: skip
#: Columns that are names or identifiers.
WORDS = (
    "session_id", "customer_id", "items", "first_product", "currency", "payment_method", "card_token", "promo_code",
    "shipping_city", "shipping_country", "address", "ip_country", "device_id",
)  # fmt: skip

_PRIOR_WEIGHT = 20.0  # transactions that a word's own share of fraud must outweigh
_TREE_DEPTH = 3
_BINS = 20


@dataclass(frozen=True)
class Leakage:
    """Success of raw columns alone on the later part of a history."""

    columns: dict[str, float]  # AUC of each column alone, the better of both directions, the worst column first
    tree: float  # average precision of a tree of depth 3 on all of them
    frauds: int
    transactions: int


def raw_columns(transactions: pd.DataFrame) -> pd.DataFrame:
    """`NUMBERS` and `WORDS` of transactions as a history holds them, sorted by time."""
    rows = transactions.sort_values("event_time", kind="stable").reset_index(drop=True)
    lines = rows["items"]
    rows["item_lines"] = lines.str.len()
    rows["item_units"] = lines.map(lambda items: sum(item["quantity"] for item in items))
    rows["item_price"] = lines.map(lambda items: max(item["unit_price"] for item in items))
    rows["first_product"] = lines.map(lambda items: items[0]["product_id"])
    rows["hour"] = rows["event_time"].dt.hour + rows["event_time"].dt.minute / 60
    rows["weekday"] = rows["event_time"].dt.weekday
    rows["cents"] = (rows["amount"] * 100).round() % 100
    rows["serial"] = rows["transaction_id"].str[-12:].map(lambda digits: int(digits, 16))
    rows["address"] = rows["shipping_latitude"].astype(str) + " " + rows["shipping_longitude"].astype(str)
    return rows


def measure(rows: pd.DataFrame, fraud: np.ndarray, later_share: float = 0.5) -> Leakage:
    """The leakage of `raw_columns` rows, of which `fraud` says which are fraud; the last `later_share` is the test."""
    earlier = np.arange(len(rows)) < len(rows) * (1 - later_share)
    later = fraud[~earlier]
    alone = {}
    for name in NUMBERS:
        values = rows[name].to_numpy(float)
        alone[name] = max(separation(later, values[~earlier]), separation(later, _binned_risk(values, fraud, earlier)))
    for name in WORDS:
        words = rows[name].astype(str)
        repeats = rows.groupby(words).cumcount().to_numpy()
        alone[name] = max(
            separation(later, _risk(words, fraud, earlier)[~earlier]), separation(later, repeats[~earlier])
        )
    return Leakage(
        columns=dict(sorted(alone.items(), key=lambda column: -column[1])),
        tree=_tree_precision(rows, fraud, earlier),
        frauds=int(later.sum()),
        transactions=len(later),
    )


def _tree_precision(rows: pd.DataFrame, fraud: np.ndarray, earlier: np.ndarray) -> float:
    """Average precision, on the later part, of a tree that learned from the earlier part's second half.

    Words are encoded by what was known before: for the tree's training by the earlier part's first half, since a word
    that occurs once would otherwise carry its own row's truth.
    """
    oldest = np.arange(len(rows)) < earlier.sum() // 2
    training = earlier & ~oldest
    tree = DecisionTreeClassifier(max_depth=_TREE_DEPTH, min_samples_leaf=20, random_state=0)
    tree.fit(_matrix(rows, fraud, oldest)[training], fraud[training])
    scores = tree.predict_proba(_matrix(rows, fraud, earlier)[~earlier])[:, 1]
    return float(average_precision_score(fraud[~earlier], scores))


def _matrix(rows: pd.DataFrame, fraud: np.ndarray, past: np.ndarray) -> np.ndarray:
    """All columns as numbers, words by their risk in the `past` rows: [n, columns]."""
    numbers = [rows[name].to_numpy(float) for name in NUMBERS]
    return np.column_stack([*numbers, *(_risk(rows[name].astype(str), fraud, past) for name in WORDS)])


def separation(fraud: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve, in the better direction."""
    area = float(roc_auc_score(fraud, score))
    return max(area, 1 - area)


def _risk(words: pd.Series, fraud: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Each word's share of fraud in the earlier part, drawn towards the share of all; that share for a new word."""
    prior = fraud[earlier].mean()
    past = pd.Series(fraud[earlier]).groupby(words[earlier].to_numpy()).agg(["sum", "count"])
    risk = (past["sum"] + prior * _PRIOR_WEIGHT) / (past["count"] + _PRIOR_WEIGHT)
    encoded: np.ndarray = words.map(risk).fillna(prior).to_numpy(float)
    return encoded


def _binned_risk(values: np.ndarray, fraud: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Risk of a number's bin, of bins with as many earlier rows each: what a curve that isn't monotone could tell."""
    edges = np.unique(np.quantile(values[earlier], np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = pd.Series(np.searchsorted(edges, values, side="right"))
    later: np.ndarray = _risk(bins, fraud, earlier)[~earlier]
    return later


def main(
    history: Annotated[Path, typer.Option(help="history directory, as `fraudctl produce --out` writes it")],
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Measures what each raw column, and a tree of depth 3 on all of them, tell about fraud in a later period.

    Example: python -m model.training.leakage --history history
    """
    folder = HistoryFolder(history)
    rows = raw_columns(folder.table("transactions"))
    truth = folder.table("truth").drop_duplicates("transaction_id").set_index("transaction_id")["is_fraud"]
    found = measure(rows, truth.reindex(rows["transaction_id"]).to_numpy(bool))
    if as_json:
        typer.echo(json.dumps(found.__dict__, indent=2))
        return
    typer.echo(f"{found.frauds} frauds among {found.transactions} later transactions; AUC of each column alone:")
    for name, area in found.columns.items():
        typer.echo(f"  {name:20} {area:.3f}")
    typer.echo(f"tree of depth {_TREE_DEPTH} on all of them: average precision {found.tree:.3f}")


if __name__ == "__main__":
    typer.run(main)
