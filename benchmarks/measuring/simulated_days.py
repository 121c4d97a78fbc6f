"""Days of a simulated shop, each sent to Kafka at once, in an order that leaves every customer's own as it was."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from fraudstream.messages.contracts import Topic
from fraudstream.settings import Settings
from fraudstream.simulator.history import write_history
from fraudstream.simulator.history_plan import HistoryPlan
from fraudstream.simulator.lookalikes import Season
from fraudstream.simulator.messages import Message
from fraudstream.simulator.publisher import Publisher
from fraudstream.simulator.recording import open_recording

FRAUD_RATE = 0.01
#: Messages of so long are ordered at a time: waits for Kafka grow with their number, the longest queue with its length.
SPAN = timedelta(minutes=30)
_TOPICS = {Topic.BROWSE_EVENTS, Topic.TRANSACTIONS, Topic.TRANSACTION_LABELS, Topic.SIMULATION_TRUTH}


@dataclass(frozen=True)
class Habit:
    """What the shop is like for so many days: its season, and what it doesn't tell."""

    days: float
    transactions_a_day: int
    label_delay_days: float
    season: Season = field(default_factory=Season)
    lacks: frozenset[str] = frozenset()


def write_days(settings: Settings, folder: Path, habit: Habit, end: datetime) -> Path:
    """Writes the history of a habit until `end` into `folder`, and returns that."""
    producer = settings.producer
    plan = HistoryPlan(
        seed=producer.seed,
        customers=producer.customers,
        products=producer.products,
        transactions=round(habit.transactions_a_day * habit.days),
        fraud_rate=FRAUD_RATE,
        days=habit.days,
        end=end,
        season=habit.season,
        label_delay_days=habit.label_delay_days,
        currency=settings.shop.currency,
        lacks=habit.lacks,
    )
    for _ in write_history(folder, plan, workers=1):
        pass
    return folder


def frauds_of(folders: Iterable[Path]) -> set[str]:
    """Ids of the transactions that are fraud in truth."""
    found: set[str] = set()
    for part in (part for folder in folders for part in sorted((folder / "truth").glob("part-*.parquet"))):
        told = pq.read_table(part, columns=["transaction_id", "is_fraud"])
        found.update(told.filter(told["is_fraud"])["transaction_id"].to_pylist())
    return found


def waves(messages: Iterable[Message]) -> list[list[Message]]:
    """Messages in order of time, cut into waves: none of a customer comes before what another topic must have first.

    Kafka keeps the order of a partition only, and profiles follow arrival: of messages that are sent at once, a
    purchase may arrive before its browsing. So a customer's next message on another topic waits for the next wave.
    """
    found: list[list[Message]] = []
    places: dict[bytes | None, tuple[int, str]] = {}
    for message in messages:
        wave, topic = places.get(message.key, (0, message.topic))
        wave += topic != message.topic
        places[message.key] = wave, message.topic
        if wave == len(found):
            found.append([])
        found[wave].append(message)
    return found


class SimulatedDays:
    """The shop whose histories lie in `folders`, one after the other: sent up to a time, and then up to the next."""

    def __init__(self, settings: Settings, folders: Sequence[Path]) -> None:
        self._publisher = Publisher(settings.kafka)
        self._publisher.check({str(topic) for topic in _TOPICS})
        recordings = (open_recording(folder).messages(None) for folder in folders)
        self._messages: Iterator[Message] = heapq.merge(*recordings, key=lambda message: message.due_ms)
        self._next = next(self._messages, None)

    def send_until(self, moment: datetime) -> None:
        """Sends all that happened, or was labelled, before `moment`. Raises KafkaDeliveryError."""
        while self._next and self._next.due_ms < _milliseconds(moment):
            begin = datetime.fromtimestamp(self._next.due_ms / 1000, UTC)
            for wave in waves(self._take(min(moment, begin + SPAN))):
                for message in wave:
                    self._publisher.send(message)
                self._publisher.close()  # waits until Kafka has them

    def _take(self, moment: datetime) -> Iterator[Message]:
        while self._next and self._next.due_ms < _milliseconds(moment):
            yield self._next
            self._next = next(self._messages, None)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
