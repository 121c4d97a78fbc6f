"""The live flow: exact rate, order, determinism, and identifiers that no other run has."""

from collections import Counter
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from fraudstream.messages.contracts import SCHEMAS, Topic
from fraudstream.simulator.flow import Block, Flow, FlowOptions
from fraudstream.simulator.labels import LEGITIMATE_SHARE
from fraudstream.simulator.messages import encode_table
from fraudstream.simulator.mix import SCENARIO_NAMES
from fraudstream.simulator.shop import Shop, build_shop
from fraudstream.simulator.tables import Tables

START_MS = 1_793_000_000_000


@pytest.fixture(scope="module")
def shop() -> Shop:
    return build_shop(42, 20_000, 1_000)


def blocks(shop: Shop, seconds: float, *, rate: float = 150.0, fraud_rate: float = 0.01) -> Iterator[Block]:
    flow = Flow(shop, FlowOptions(rate, fraud_rate, START_MS, 120_000.0))
    flow.warm_up()
    end_ms = 0.0
    while end_ms < START_MS + seconds * 1000:
        block = flow.next_block()
        end_ms = block.end_ms
        yield block


@pytest.mark.parametrize(("rate", "tolerance"), [(20.0, 0.25), (150.0, 0.1), (2_000.0, 0.03)])
def test_the_rate_holds_from_the_first_seconds_on(shop: Shop, rate: float, tolerance: float) -> None:
    times = np.concatenate([np.append(b.events.time, b.transactions.time) for b in blocks(shop, 70, rate=rate)])
    per_ten_seconds = np.bincount((times - START_MS) // 10_000)[:6]
    assert np.abs(per_ten_seconds / (10 * rate) - 1).max() < tolerance
    assert abs(per_ten_seconds.sum() / (60 * rate) - 1) < 0.05


def test_events_are_spread_evenly_and_in_order(shop: Shop) -> None:
    previous = float(START_MS)
    for block in blocks(shop, 30):
        assert block.start_ms == previous
        times = np.sort(np.append(block.events.time, block.transactions.time))
        assert 295 <= len(times) <= 300
        assert block.end_ms - block.start_ms == pytest.approx(1000 * len(times) / 150)
        assert times[0] >= int(block.start_ms)
        assert times[-1] <= block.end_ms
        assert np.diff(times).max() < 250
        previous = block.end_ms


def test_a_purchase_is_seen_after_browsing_from_the_start_on(shop: Shop) -> None:
    first: dict[int, int] = {}
    bought = 0
    for block in blocks(shop, 300):
        for session, time in zip(block.events.session.tolist(), block.events.time.tolist(), strict=True):
            first.setdefault(session, time)
        for session, time in zip(block.transactions.session.tolist(), block.transactions.time.tolist(), strict=True):
            assert first[session] < time
            bought += 1
    assert bought > 300 * 150 / 13 * 0.8


def test_about_twelve_browse_events_and_the_asked_share_of_fraud(shop: Shop) -> None:
    made = list(blocks(shop, 300, rate=400.0, fraud_rate=0.05))[75:]
    events = sum(len(block.events) for block in made)
    scenarios = np.concatenate([block.transactions.scenario for block in made])
    assert 11 < events / len(scenarios) < 13.5
    assert 0.035 < (scenarios > 0).mean() < 0.065
    assert set(scenarios) == set(range(len(SCENARIO_NAMES)))


def test_the_same_start_gives_the_same_flow(shop: Shop) -> None:
    for one, other in zip(blocks(shop, 20), blocks(build_shop(42, 20_000, 1_000), 20), strict=True):
        for field in ("time", "session", "device", "product"):
            assert np.array_equal(getattr(one.events, field), getattr(other.events, field))
        assert np.array_equal(one.transactions.amount, other.transactions.amount)
        assert np.array_equal(one.labels.time, other.labels.time)


def test_lost_time_is_not_made_up_for_in_a_burst(shop: Shop) -> None:
    flow = Flow(shop, FlowOptions(150.0, 0.01, START_MS, 0.0))
    flow.warm_up()
    flow.next_block()
    block = flow.next_block(not_before_ms=START_MS + 60_000)
    assert block.start_ms == START_MS + 60_000
    assert block.end_ms == pytest.approx(START_MS + 62_000, abs=40)
    assert min(block.events.time) >= block.start_ms


def test_messages_satisfy_the_contracts(shop: Shop) -> None:
    tables = Tables(shop, START_MS)
    seen: Counter[Topic] = Counter()
    for block in blocks(shop, 120):
        for topic, table in {
            Topic.BROWSE_EVENTS: tables.browse_events(block.events),
            Topic.TRANSACTIONS: tables.transactions(block.transactions),
            Topic.SIMULATION_TRUTH: tables.truth(block.transactions),
            Topic.TRANSACTION_LABELS: tables.labels(block.labels, block.transactions),
        }.items():
            for message in encode_table(topic, table):
                msgspec.json.decode(message.value, type=SCHEMAS[topic])
                seen[topic] += 1
    assert seen[Topic.TRANSACTIONS] == seen[Topic.SIMULATION_TRUTH] > 500
    assert seen[Topic.TRANSACTION_LABELS] > seen[Topic.TRANSACTIONS] * LEGITIMATE_SHARE * 0.7


def test_another_run_has_other_identifiers_but_the_same_customers_and_devices(shop: Shop) -> None:
    block = next(blocks(shop, 1))
    one, other = (Tables(shop, run).browse_events(block.events) for run in (START_MS, START_MS + 1))
    for column in ("event_id", "session_id"):
        assert not set(one[column].to_pylist()) & set(other[column].to_pylist())
    for column in ("customer_id", "device_id"):
        assert one[column].to_pylist() == other[column].to_pylist()
