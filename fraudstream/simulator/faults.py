"""Faults on purpose: what happens to messages on their way, at chosen rates, each of them told on `simulation-truth`.

A late message is delayed for longer than the stream allows, one out of order for some seconds, and a duplicate comes
a second time. A malformed one is a client's broken first attempt: its right copy follows. So whatever the rates, each
valid event is delivered at least once, and its truth with it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from fraudstream.messages.contracts import SCHEMA_VERSION, Fault, FaultTruth, Topic, encode
from fraudstream.simulator.columns import Array
from fraudstream.simulator.messages import Message

_OUT_OF_ORDER_MS = (1_000, 30_000)
_DUPLICATE_MS = (50, 10_000)
_LATE_FACTOR = (1.1, 3.0)  # times the allowed lateness

#: Ways to break a message that the contracts refuse, whatever the event.
BREAKAGES: tuple[Callable[[Message], Message], ...] = (
    lambda message: message._replace(value=message.value[: len(message.value) // 2]),
    lambda message: message._replace(value=message.value.replace(b'"customer_id":"', b'"customer_id":"\xff', 1)),
    lambda message: message._replace(value=message.value.replace(b'"schema_version":1', b'"schema_version":99', 1)),
    lambda message: message._replace(value=message.value.replace(b'"customer_id"', b'"custmer_id"', 1)),
    lambda message: message._replace(value=message.value.replace(b'"event_time":"', b'"event_time":"about ', 1)),
    lambda message: message._replace(key=None),
)


@dataclass(frozen=True)
class FaultRates:
    """Shares of browse events and transactions, each 0 to 1, with a sum of at most 1: a message has one fault at most.

    Late ones are sent after `allowed_lateness_seconds`, counted from their own time.
    """

    late: float = 0.0
    duplicate: float = 0.0
    out_of_order: float = 0.0
    malformed: float = 0.0
    allowed_lateness_seconds: float = 600.0

    def of(self, fault: Fault) -> float:
        """The rate of `fault`."""
        return float(getattr(self, fault.value))


class FaultInjector:
    """Applies faults to messages. `counts` has how many of each there were."""

    def __init__(self, rates: FaultRates, seed: Sequence[int]) -> None:
        self._rates = rates
        self._edges = np.cumsum([rates.of(fault) for fault in Fault])
        self._rng = np.random.default_rng(seed)
        self.counts: Counter[Fault] = Counter()

    def disturb(
        self, topic: Topic, messages: list[Message], companions: list[Message], truth: Callable[[Array], pa.Table]
    ) -> list[Message]:
        """`messages` of one topic with faults, and a truth message for each fault.

        `companions` are messages (none, or one a message) that are delayed together with them. `truth` gives the
        truth about the messages at some positions, as `Tables.truth` does.
        """
        if not self._edges[-1]:
            return [*messages, *companions]
        chosen = np.searchsorted(self._edges, self._rng.random(len(messages)), side="right")
        positions = np.flatnonzero(chosen < len(Fault))
        sent, companions = list(messages), list(companions)
        broken, copies, told = [], [], []
        for position, row in zip(positions.tolist(), truth(positions).to_pylist(), strict=True):
            fault = tuple(Fault)[chosen[position]]
            self.counts[fault] += 1
            disturbed = self._apply(fault, messages[position])
            if fault is Fault.MALFORMED:
                broken.append(disturbed)
            elif fault is Fault.DUPLICATE:
                copies.append(disturbed)
            else:
                sent[position] = disturbed
                if companions:
                    companions[position] = companions[position]._replace(due_ms=disturbed.due_ms)
            told.append(_fault_truth(fault, topic, disturbed.due_ms, messages[position], row))
        return [*broken, *sent, *companions, *copies, *told]

    def _apply(self, fault: Fault, message: Message) -> Message:
        """`message` as it is sent with `fault`."""
        if fault is Fault.MALFORMED:
            return BREAKAGES[self._rng.integers(len(BREAKAGES))](message)
        if fault is Fault.LATE:
            delay = 1000 * self._rates.allowed_lateness_seconds * self._rng.uniform(*_LATE_FACTOR)
        else:
            delay = self._rng.uniform(*(_DUPLICATE_MS if fault is Fault.DUPLICATE else _OUT_OF_ORDER_MS))
        return message._replace(due_ms=message.due_ms + int(delay))


def _fault_truth(fault: Fault, topic: Topic, due_ms: int, message: Message, row: dict[str, Any]) -> Message:
    event_id = row["transaction_id"]
    if topic is Topic.BROWSE_EVENTS:
        event_id = msgspec.json.decode(message.value)["event_id"]
    truth = FaultTruth(schema_version=SCHEMA_VERSION, fault=fault, topic=topic, event_id=event_id, **row)
    return Message(due_ms, str(Topic.SIMULATION_TRUTH), row["transaction_id"].encode(), encode(truth))
