"""The part of scoring that decides: a policy over the transactions of a batch, and what of it goes to the sink."""

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from fraudstream.messages.contracts import Transaction
from fraudstream.messages.validation import TRANSACTIONS
from fraudstream.policy.columns import TRANSACTION_COLUMNS
from fraudstream.policy.evaluation import ColumnOf, Decisions, Evaluator, without_policy
from fraudstream.policy.live import LivePolicy
from model.features.columns import SERVED_COLUMNS
from model.features.entity_risk import shipping_addresses

_encode = msgspec.json.Encoder().encode
_decode_transaction = TRANSACTIONS.decode
_PLACE = {name: place for place, name in enumerate(SERVED_COLUMNS)}


def decide(
    batch: pa.RecordBatch,
    served: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    policy: LivePolicy | None,
    currency: str,
) -> Decisions:
    """Decides about the transactions of `batch` (Arrow, schema `OUTCOME`), of a model with `threshold`.

    `served` are its SERVED_COLUMNS, float64 [n, columns]. `currency` is the shop's: of a transaction that names none,
    as it will be stored.
    """
    is_fraud = scores >= threshold
    if policy is None:
        return without_policy(is_fraud)
    return _evaluator().decide(policy, scores, threshold, _columns(batch, served, scores, is_fraud, currency))


@cache
def _evaluator() -> Evaluator:
    """The worker's."""
    return Evaluator()


def _columns(
    batch: pa.RecordBatch, served: np.ndarray, scores: np.ndarray, is_fraud: np.ndarray, currency: str
) -> ColumnOf:
    """The columns that conditions may name; only those that one asks for are made."""

    @cache
    def events() -> list[Transaction]:
        return [_decode_transaction(value) for value in batch.column("value").to_pylist()]

    @cache
    def column(name: str) -> pa.Array:
        if name == "score":
            return pa.array(scores)
        if name == "is_fraud":
            return pa.array(is_fraud)
        if name == "address_cell":
            places = np.array([(event.shipping_latitude, event.shipping_longitude) for event in events()], float)
            return pa.array(shipping_addresses(places[:, 0], places[:, 1]), pa.string())
        if name == "currency":
            return pa.array([event.currency or currency for event in events()], pa.string())
        if name in TRANSACTION_COLUMNS:
            return pa.array([getattr(event, name) for event in events()], _ARROW.get(TRANSACTION_COLUMNS[name]))
        return pa.array(served[:, _PLACE[name]].astype(np.float32), from_pandas=True)

    return column


#: DuckDB would show a time with a zone in the session's own, which takes an extension.
_ARROW = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "TIMESTAMP": pa.timestamp("ms")}


def sink_columns(decisions: Decisions, rows: np.ndarray, length: int) -> dict[str, list[Any]]:
    """The columns of schema `SCORED` that say what was decided; `rows` are the transactions' of `length`.

    Failures of rules go with the first transaction.
    """
    columns: dict[str, list[Any]] = {name: [None] * length for name in DECIDED}
    for number, row in enumerate(rows):
        for name, value_of in DECIDED.items():
            columns[name][row] = value_of(decisions, number)
    if decisions.failures:
        columns["rule_failures"][rows[0]] = _encode(decisions.failures)
    return columns


#: The columns of schema `SCORED` that say what was decided.
DECIDED: dict[str, Callable[[Decisions, int], Any]] = {
    "decision": lambda decisions, row: decisions.decisions[row],
    "rule_matches": lambda decisions, row: _encode(decisions.matches[row]) if decisions.matches[row] else None,
    "review_probability": lambda decisions, row: decisions.review_probability[row],
    "rule_failures": lambda *_: None,
}
