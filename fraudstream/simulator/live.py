"""The live producer: the flow's events, each sent at its own event time."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from fraudstream.contracts import Topic
from fraudstream.simulator.flow import Block, Flow
from fraudstream.simulator.messages import Message, encode_table
from fraudstream.simulator.pending import PendingLabels
from fraudstream.simulator.progress import Progress
from fraudstream.simulator.publisher import Publisher
from fraudstream.simulator.tables import Tables

TOPICS = (Topic.BROWSE_EVENTS, Topic.TRANSACTIONS, Topic.TRANSACTION_LABELS, Topic.SIMULATION_TRUTH)

_LEAD_MS = 500.0  # a block is made this long before its first event is due
_BEHIND_MS = 2000.0  # further behind, lost time is given up rather than caught up with in a burst
_LONGEST_SLEEP_SECONDS = 0.05


@dataclass(frozen=True)
class Limits:
    """When to stop by itself: after so many browse events and transactions, or so many seconds; 0: never."""

    events: int = 0
    seconds: float = 0.0


class LiveProducer:
    """Sends the flow's events until told to stop, or a limit is reached.

    A flow that starts now (`start_ms` None) keeps to the wall's clock. One that starts at a chosen time keeps its
    distance from it, and gives up no lost time: its output is always the same.
    """

    def __init__(
        self, flow: Flow, tables: Tables, publisher: Publisher, labels: PendingLabels, start_ms: int | None
    ) -> None:
        self._flow = flow
        self._tables = tables
        self._publisher = publisher
        self._start_ms = start_ms
        self._lag_ms = 0.0
        self._block_end_ms = 0.0
        self._queue: deque[Message] = deque()
        self._labels = labels
        self.events = 0

    def run(self, limits: Limits, progress: Progress, stopped: Callable[[], bool]) -> None:
        """Runs until `stopped()` or a limit. Raises KafkaDeliveryError."""
        self._flow.warm_up()
        now = time.time() * 1000
        self._lag_ms = 0.0 if self._start_ms is None else now - self._start_ms
        self._prepare(not_before_ms=0.0 if self._start_ms is not None else now)
        until = time.monotonic() + limits.seconds if limits.seconds else float("inf")
        while not stopped() and time.monotonic() < until:
            self._send_due(limits.events)
            if limits.events and self.events >= limits.events:
                return
            if self._now_ms() > self._block_end_ms - _LEAD_MS:
                self._prepare(0.0 if self._start_ms is not None else self._now_ms() - _BEHIND_MS)
            self._publisher.serve()
            progress.tick()
            time.sleep(self._pause_seconds())

    def _now_ms(self) -> float:
        return time.time() * 1000 - self._lag_ms

    def _prepare(self, not_before_ms: float) -> None:
        block = self._flow.next_block(not_before_ms)
        self._block_end_ms = block.end_ms
        self._queue.extend(sorted(self._messages(block), key=lambda message: message.due_ms))
        for message in encode_table(Topic.TRANSACTION_LABELS, self._tables.labels(block.labels, block.transactions)):
            self._labels.add(message)

    def _messages(self, block: Block) -> list[Message]:
        # Sorting keeps the order of equal times: browsing before the purchase, and that before its truth.
        return [
            *encode_table(Topic.BROWSE_EVENTS, self._tables.browse_events(block.events)),
            *encode_table(Topic.TRANSACTIONS, self._tables.transactions(block.transactions)),
            *encode_table(Topic.SIMULATION_TRUTH, self._tables.truth(block.transactions)),
        ]

    def _send_due(self, limit: int) -> None:
        now = self._now_ms()
        while self._queue and self._queue[0].due_ms <= now:
            message = self._queue.popleft()
            counts = message.topic != Topic.SIMULATION_TRUTH
            if counts and limit and self.events >= limit:
                return
            self._publisher.send(message)
            self.events += counts
        while label := self._labels.pop_due(now):
            self._publisher.send(label)

    def _pause_seconds(self) -> float:
        due = self._queue[0].due_ms if self._queue else self._block_end_ms - _LEAD_MS
        return min(max((due - self._now_ms()) / 1000, 0.0005), _LONGEST_SLEEP_SECONDS)
