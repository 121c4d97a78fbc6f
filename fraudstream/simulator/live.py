"""The live producer: the flow's events, each sent at its own event time."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from fraudstream.messages.contracts import Topic
from fraudstream.simulator.delayed import DelayedMessages
from fraudstream.simulator.faults import FaultInjector
from fraudstream.simulator.flow import Block, Flow
from fraudstream.simulator.messages import Message, encode_table
from fraudstream.simulator.progress import Progress
from fraudstream.simulator.publisher import Publisher
from fraudstream.simulator.tables import Tables

TOPICS = (Topic.BROWSE_EVENTS, Topic.TRANSACTIONS, Topic.TRANSACTION_LABELS, Topic.SIMULATION_TRUTH)
_EVENT_TOPICS = (Topic.BROWSE_EVENTS, Topic.TRANSACTIONS)

_LEAD_MS = 500.0  # a block is made this long before its first event is due
_BEHIND_MS = 2000.0  # further behind, lost time is given up rather than caught up with in a burst
_LONGEST_SLEEP_SECONDS = 0.05


@dataclass(frozen=True)
class Limits:
    """When to stop by itself: after so many browse events and transactions, or so many seconds; 0: never.

    A faster clock stops, besides, when it has caught up with the wall's.
    """

    events: int = 0
    seconds: float = 0.0


@dataclass
class Clock:
    """The simulated time. It is the wall's, or starts at `start_ms` and runs at `speed` times the wall's pace."""

    start_ms: int | None = None
    speed: float = 1.0
    _begun_ms: float = field(default=0.0, init=False)

    def start(self) -> None:
        """Begins to run."""
        self._begun_ms = time.time() * 1000

    @property
    def now_ms(self) -> float:
        """Simulated ms since the epoch."""
        wall_ms = time.time() * 1000
        return wall_ms if self.start_ms is None else self.start_ms + (wall_ms - self._begun_ms) * self.speed

    @property
    def caught_up(self) -> bool:
        """Whether a faster clock has reached the wall's: events of the future would be refused."""
        return self.speed > 1 and self.now_ms >= time.time() * 1000


class LiveProducer:
    """Sends the flow's events until told to stop, or a limit is reached.

    A flow that starts now keeps to the wall's clock. One that starts at a chosen time gives up no lost time: its output
    is always the same.
    """

    def __init__(
        self,
        flow: Flow,
        tables: Tables,
        publisher: Publisher,
        delayed: DelayedMessages,
        clock: Clock,
        faults: FaultInjector,
    ) -> None:
        self._flow = flow
        self._tables = tables
        self._publisher = publisher
        self._delayed = delayed
        self._clock = clock
        self._faults = faults
        self._lead_ms = _LEAD_MS * clock.speed
        self._block_end_ms = 0.0
        self._queue: deque[Message] = deque()
        self.events = 0

    def run(self, limits: Limits, progress: Progress, stopped: Callable[[], bool]) -> None:
        """Runs until `stopped()` or a limit. Raises KafkaDeliveryError."""
        self._flow.warm_up()
        self._clock.start()
        self._prepare(self._clock.now_ms)
        until = time.monotonic() + limits.seconds if limits.seconds else float("inf")
        while not stopped() and time.monotonic() < until and not self._clock.caught_up:
            self._send_due(limits.events)
            if limits.events and self.events >= limits.events:
                return
            if self._clock.now_ms > self._block_end_ms - self._lead_ms:
                self._prepare(self._clock.now_ms - _BEHIND_MS)
            self._publisher.serve()
            progress.tick()
            time.sleep(self._pause_seconds())

    def _prepare(self, wanted_ms: float) -> None:
        block = self._flow.next_block(wanted_ms if self._clock.start_ms is None else 0.0)
        self._block_end_ms = block.end_ms
        for message in sorted(self._messages(block), key=lambda message: message.due_ms):
            if message.due_ms <= block.end_ms:
                self._queue.append(message)
            else:
                self._delayed.add(message)
        for message in encode_table(Topic.TRANSACTION_LABELS, self._tables.labels(block.labels, block.transactions)):
            self._delayed.add(message)

    def _messages(self, block: Block) -> list[Message]:
        # Sorting keeps the order of equal times: browsing before the purchase, and that before its truth.
        events, transactions = block.events, block.transactions
        browsed = encode_table(Topic.BROWSE_EVENTS, self._tables.browse_events(events))
        bought = encode_table(Topic.TRANSACTIONS, self._tables.transactions(transactions))
        truth = encode_table(Topic.SIMULATION_TRUTH, self._tables.truth(transactions))
        return [
            *self._faults.disturb(Topic.BROWSE_EVENTS, browsed, [], lambda at: self._tables.truth(events.take(at))),
            *self._faults.disturb(
                Topic.TRANSACTIONS, bought, truth, lambda at: self._tables.truth(transactions.take(at))
            ),
        ]

    def _send_due(self, limit: int) -> None:
        now = self._clock.now_ms
        while self._queue and self._queue[0].due_ms <= now:
            if not self._send(self._queue.popleft(), limit):
                return
        while message := self._delayed.pop_due(now):
            if not self._send(message, limit):
                self._delayed.add(message)
                return

    def _send(self, message: Message, limit: int) -> bool:
        """Whether `message` was sent: an event above the limit isn't."""
        counts = message.topic in _EVENT_TOPICS
        if counts and limit and self.events >= limit:
            return False
        self._publisher.send(message)
        self.events += counts
        return True

    def _pause_seconds(self) -> float:
        due = self._queue[0].due_ms if self._queue else self._block_end_ms - self._lead_ms
        return min(max((due - self._clock.now_ms) / 1000 / self._clock.speed, 0.0005), _LONGEST_SLEEP_SECONDS)
