"""The columns that conditions may name are those that the stream makes, of the declared types."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from fraudstream.policy.columns import columns_with
from fraudstream.policy.document import Action, Policy, Rule, State
from fraudstream.policy.engine import ARROW_TYPES
from fraudstream.policy.live import LivePolicy, live_rules
from model.features.columns import FEATURE_NAMES, SERVED_COLUMNS
from spark_jobs.deciding import _columns, decide, sink_columns
from tests.messages import as_bytes, transaction

COLUMNS = columns_with(FEATURE_NAMES)
TIME = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
EVENTS = [
    transaction(transaction_id="t-0", event_time="2026-03-02T01:30:00.000+02:00", amount=10.0),
    transaction(transaction_id="t-1", card_token=None, payment_method="paypal", currency=None, shipping_latitude=None),
]
BATCH = pa.RecordBatch.from_pydict({"value": [as_bytes(event) for event in EVENTS]})
SERVED = np.arange(2 * len(SERVED_COLUMNS), dtype=float).reshape(2, -1)
SERVED[1, 0] = np.nan
SCORES = np.array([0.25, 0.75])


def test_each_declared_column_is_made_with_its_type() -> None:
    column = _columns(BATCH, SERVED, SCORES, SCORES >= 0.5, "CHF")
    assert {name: column(name).type for name in COLUMNS} == {name: ARROW_TYPES[kind] for name, kind in COLUMNS.items()}
    assert column("event_time").to_pylist()[0] == TIME.replace(tzinfo=None)
    assert column("card_token").to_pylist() == ["k-1", None]
    assert column("payment_method").to_pylist() == ["card", "paypal"]
    assert column(FEATURE_NAMES[0]).to_pylist() == [0.0, None]
    assert column("component_frauds").to_pylist() == SERVED[:, -1].tolist()
    assert column("address_cell").to_pylist() == ["473700:85400", None], "who says no coordinates has no address"
    assert column("score").to_pylist() == [0.25, 0.75]
    assert column("currency").to_pylist() == ["EUR", "CHF"], "as it is stored"


def test_what_was_decided_goes_to_the_sink_at_the_transactions_rows() -> None:
    rules = [
        Rule(name="late", condition="hour(event_time) = 23", action=Action.BLOCK, state=State.LIVE),
        Rule(name="fails", condition="CAST(device_id AS INT) = 1", action=Action.BLOCK, state=State.LIVE),
    ]
    compiled, _ = live_rules(Policy(rules=rules), COLUMNS, {}, {})
    policy = LivePolicy(3, Policy().thresholds, 0.0, compiled)
    found = sink_columns(decide(BATCH, SERVED, SCORES, 0.5, policy, "CHF"), np.array([1, 3]), 4)
    assert found["decision"] == [None, "block", None, "review"]
    assert found["rule_matches"] == [None, b'[{"rule":"late","is_live":true,"changed":true}]', None, None]
    assert found["review_probability"] == [None] * 4
    assert b"Could not convert string 'd-1'" in found["rule_failures"][1]
    without = sink_columns(decide(BATCH, SERVED, SCORES, 0.5, None, "CHF"), np.array([0, 1]), 2)
    assert (without["decision"], without["rule_failures"]) == (["allow", "review"], [None, None])
