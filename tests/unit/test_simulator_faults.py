"""Faults come at their rates, leave every valid event to be delivered, and are all told on simulation-truth."""

from collections import Counter
from datetime import UTC, timedelta

import msgspec
import numpy as np
import pytest

from fraudstream.messages.contracts import Fault, FaultTruth, SimulationTruth, Topic, Transaction
from fraudstream.messages.refusal import Rejection
from fraudstream.messages.validation import decode
from fraudstream.simulator.faults import BREAKAGES, FaultInjector, FaultRates
from fraudstream.simulator.flow import Flow, FlowOptions
from fraudstream.simulator.messages import Message, encode_table
from fraudstream.simulator.sessions import BrowseEvents, Transactions
from fraudstream.simulator.shop import build_shop
from fraudstream.simulator.tables import Tables

START_MS = 1_793_000_000_000
ALL = FaultRates(late=0.02, duplicate=0.05, out_of_order=0.1, malformed=0.03, allowed_lateness_seconds=600)


class Made:
    """Ten minutes of the flow, and what the wire gets of it."""

    def __init__(self, rates: FaultRates, topic: Topic) -> None:
        shop = build_shop(42, 2_000, 500)
        flow, self.tables = Flow(shop, FlowOptions(400.0, 0.05, START_MS, 1000.0)), Tables(shop, START_MS)
        flow.warm_up()
        blocks = [flow.next_block() for _ in range(100)]
        rows: BrowseEvents | Transactions
        if topic is Topic.TRANSACTIONS:
            rows = Transactions.concat([block.transactions for block in blocks])
            self.clean = encode_table(topic, self.tables.transactions(rows))
            self.truth = encode_table(Topic.SIMULATION_TRUTH, self.tables.truth(rows))
        else:
            rows = BrowseEvents.concat([block.events for block in blocks])
            self.clean, self.truth = encode_table(topic, self.tables.browse_events(rows)), []
        self.injector = FaultInjector(rates, [1])
        self.sent = self.injector.disturb(topic, self.clean, self.truth, lambda at: self.tables.truth(rows.take(at)))
        self.told = [
            msgspec.json.decode(message.value, type=FaultTruth)
            for message in self.sent
            if message.topic == Topic.SIMULATION_TRUTH and b'"fault"' in message.value
        ]


@pytest.fixture(scope="module")
def bought() -> Made:
    return Made(ALL, Topic.TRANSACTIONS)


@pytest.fixture(scope="module")
def browsed() -> Made:
    return Made(ALL, Topic.BROWSE_EVENTS)


def accepted(messages: list[Message], topic: Topic) -> list[Message]:
    return [
        message
        for message in messages
        if message.topic == topic
        and not isinstance(decode(topic, message.key, message.value, message.due_ms, timedelta(0)), Rejection)
    ]


def test_without_rates_nothing_changes() -> None:
    made = Made(FaultRates(), Topic.TRANSACTIONS)
    assert made.sent == [*made.clean, *made.truth]
    assert not made.injector.counts


def test_faults_come_at_their_rates(browsed: Made) -> None:
    for fault in Fault:
        assert browsed.injector.counts[fault] / len(browsed.clean) == pytest.approx(ALL.of(fault), rel=0.15)


def test_every_fault_is_told_with_the_scenario_of_its_message(bought: Made, browsed: Made) -> None:
    truth = {each.transaction_id: each for message in bought.truth
             if (each := msgspec.json.decode(message.value, type=SimulationTruth))}  # fmt: skip
    for made, topic in ((bought, Topic.TRANSACTIONS), (browsed, Topic.BROWSE_EVENTS)):
        assert Counter(told.fault for told in made.told) == made.injector.counts
        assert {told.topic for told in made.told} == {topic}
    for told in bought.told:
        known = truth[told.transaction_id]
        assert told.event_id == told.transaction_id
        assert (told.scenario, told.is_fraud, told.session_id) == (known.scenario, known.is_fraud, known.session_id)
    sessions = {each["event_id"]: each["session_id"] for each in map(msgspec.json.decode, values(browsed.clean))}
    assert all(sessions[told.event_id] == told.session_id for told in browsed.told)
    bought_in = {each.session_id: each for each in truth.values()}
    known_sessions = [told for told in browsed.told if told.session_id in bought_in]
    assert known_sessions
    for told in known_sessions:
        assert told.transaction_id == bought_in[told.session_id].transaction_id
        assert told.scenario == bought_in[told.session_id].scenario


def values(messages: list[Message]) -> list[bytes]:
    return [message.value for message in messages]


@pytest.mark.parametrize("topic", [Topic.TRANSACTIONS, Topic.BROWSE_EVENTS])
def test_every_valid_event_is_delivered_and_only_duplicates_twice(topic: Topic, bought: Made, browsed: Made) -> None:
    made = bought if topic is Topic.TRANSACTIONS else browsed
    delivered = Counter(values(accepted(made.sent, topic)))
    assert set(delivered) == set(values(made.clean))
    twice = {value for value, number in delivered.items() if number > 1}
    assert max(delivered.values()) == 2
    ids = {
        msgspec.json.decode(value).get("event_id") or msgspec.json.decode(value)["transaction_id"] for value in twice
    }
    assert ids == {told.event_id for told in made.told if told.fault is Fault.DUPLICATE}


def test_malformed_copies_are_refused_and_come_first(bought: Made) -> None:
    wire = [message for message in sorted(bought.sent, key=lambda each: each.due_ms) if message.topic == "transactions"]
    fine = set(map(id, accepted(wire, Topic.TRANSACTIONS)))
    refused = [message for message in wire if id(message) not in fine]
    assert len(refused) == bought.injector.counts[Fault.MALFORMED] > 10


@pytest.mark.parametrize("breakage", range(len(BREAKAGES)))
def test_each_breakage_is_refused(breakage: int, bought: Made, browsed: Made) -> None:
    for message in (bought.clean[0], browsed.clean[0]):
        broken = BREAKAGES[breakage](message)
        found = decode(message.topic, broken.key, broken.value, message.due_ms, timedelta(0))
        assert isinstance(found, Rejection)


def test_late_ones_exceed_the_allowed_lateness_together_with_their_truth(bought: Made) -> None:
    late = {told.transaction_id for told in bought.told if told.fault is Fault.LATE}
    assert late
    for message in bought.sent:
        if message.topic != Topic.TRANSACTIONS or (message.key and message.value not in set(values(bought.clean))):
            continue
        event = msgspec.json.decode(message.value, type=Transaction)
        if event.transaction_id in late:
            assert message.due_ms - event.event_time.astimezone(UTC).timestamp() * 1000 > 600_000
    first_told = {}
    for message in bought.sent:
        if message.topic == Topic.SIMULATION_TRUTH:
            first_told.setdefault(message.key, message.due_ms)
    delivered = {message.key: message.due_ms for message in bought.sent if message.topic == Topic.TRANSACTIONS}
    assert delivered
    for transaction_id in late:
        assert first_told[transaction_id.encode()] > START_MS + 600_000


def test_the_same_seed_disturbs_the_same(bought: Made) -> None:
    again = Made(ALL, Topic.TRANSACTIONS)
    assert again.sent == bought.sent


def test_rates_are_shares_of_events(bought: Made) -> None:
    assert np.isclose(sum(ALL.of(fault) for fault in Fault), 0.2)
    assert 0.15 < len(bought.told) / len(bought.clean) < 0.25
