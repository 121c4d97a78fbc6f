"""A recorded hour of a shop as Kafka holds it, and the micro-batches in which the stream reads it."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate, groupby, takewhile
from pathlib import Path
from random import Random
from zlib import crc32

import pyarrow as pa

from fraudstream.kafka.offsets import Appended, Place
from fraudstream.messages.contracts import INPUT_TOPICS, Topic
from fraudstream.simulator.columns import Array
from fraudstream.simulator.faults import FaultInjector, FaultRates
from fraudstream.simulator.history import write_history
from fraudstream.simulator.history_plan import HistoryPlan
from fraudstream.simulator.recording import open_recording
from fraudstream.static_data.currencies import CurrencyRates
from model.durations import DAY_MS, HOUR_MS
from spark_jobs.bucket import Kind, Limits, Message, Outcome
from spark_jobs.bucket_state import Kept, state_of
from spark_jobs.slices import Slicer
from tests.unit.kept_log import KeptLog

END = datetime(2026, 11, 1, tzinfo=UTC)
HORIZON_MS = int(END.timestamp() * 1000) + DAY_MS
FAULTS = FaultRates(late=0.005, duplicate=0.01, out_of_order=0.02, malformed=0.005, allowed_lateness_seconds=60)
ANSWER_MS = 3
PARTITIONS = 4
BUCKETS = 8
LIMITS = Limits(timedelta(minutes=5), 60_000, 400 * DAY_MS, 30 * DAY_MS, 7 * DAY_MS, resume={})
EUROS = CurrencyRates("EUR")

Cut = Callable[[dict[Place, int], dict[Place, int]], dict[Place, int]]
State = dict[int, KeptLog]


@dataclass
class Log:
    """The input topics' partitions, and what Kafka answers to questions about time."""

    partitions: dict[Place, list[Message]]
    times: dict[Place, list[int]] = field(init=False)
    _newest: dict[Place, list[int]] = field(init=False)  # of each message and those before it
    asked: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.times = {place: [message.ingest_ms for message in of] for place, of in self.partitions.items()}
        self._newest = {place: list(accumulate(times, max)) for place, times in self.times.items()}

    def appended_since(self, places: Iterable[Place], time_ms: int) -> Mapping[Place, Appended | None]:
        """The first message of each partition with this time or a later one."""
        self.asked += 1
        return {place: self._first(place, time_ms) for place in places}

    def _first(self, place: Place, time_ms: int) -> Appended | None:
        times = self.times[place]
        offset = bisect_left(self._newest[place], time_ms)
        return Appended(offset, times[offset]) if offset < len(times) else None

    def visible_at(self, time_ms: int, random: Random) -> dict[Place, int]:
        """The end of each partition at a time: Kafka answers for one partition after the other, within some ms."""
        return {
            place: bisect_left(times, time_ms + random.randint(1, ANSWER_MS)) for place, times in self.times.items()
        }

    def read(self, start: Mapping[Place, int], end: Mapping[Place, int]) -> list[Message]:
        """What lies between, partition by partition, as Spark hands it on."""
        return [message for place, of in self.partitions.items() for message in of[start[place] : end[place]]]

    @property
    def span_ms(self) -> tuple[int, int]:
        """Times of the first message and the last."""
        times = [time for of in self.times.values() for time in of]
        return min(times), max(times)

    @property
    def beginning(self) -> dict[Place, int]:
        return dict.fromkeys(self.partitions, 0)

    @property
    def end(self) -> dict[Place, int]:
        return {place: len(of) for place, of in self.partitions.items()}


def recorded_hour(folder: Path) -> Log:
    """The first hour of a shop's history, with all faults of the simulator; Kafka's time is that of arrival.

    That is up to 40 ms after a message was sent.
    """
    list(write_history(folder, HistoryPlan(42, 4_000, 500, 30_000, 0.05, 0.19, END), 1))
    recording = open_recording(folder)
    hour = takewhile(lambda message: message.due_ms < recording.first_ms + HOUR_MS, recording.messages(None))
    random, faults, arriving = Random(1), FaultInjector(FAULTS, [42]), []
    for topic, messages in groupby(sorted(hour, key=lambda message: message.topic), lambda message: message.topic):
        if topic in INPUT_TOPICS:
            sent = faults.disturb(Topic(topic), list(messages), [], _truth)
            arriving += [(message.due_ms + random.randrange(40), message) for message in sent]
    log: dict[Place, list[Message]] = {(topic.value, p): [] for topic in INPUT_TOPICS for p in range(PARTITIONS)}
    for ingest_ms, sent_message in sorted(arriving, key=lambda entry: entry[0]):
        _, topic, key, value = sent_message
        if topic in INPUT_TOPICS:
            partition = crc32(key or b"") % PARTITIONS
            of = log[topic, partition]
            of.append(Message(topic, partition, len(of), ingest_ms, key, value))
    return Log(log)


def _truth(positions: Array) -> pa.Table:
    """What the injector tells on `simulation-truth`, which isn't read here."""
    unknown = ["?"] * len(positions)
    columns = dict.fromkeys(("transaction_id", "session_id", "customer_id", "scenario"), unknown)
    return pa.table(columns | {"event_time": [END] * len(positions), "is_fraud": [False] * len(positions)})


def spark_share(limit: int) -> Cut:
    """Spark's own cut, `KafkaMicroBatchStream.rateLimit`: by each partition's share of what is unread."""

    def cut(start: dict[Place, int], end: dict[Place, int]) -> dict[Place, int]:
        sizes = {place: until - start[place] for place, until in end.items()}
        total = max(1, sum(sizes.values()))
        return {
            place: start[place] + min(size, max(int(limit * size / total), min(size, 1)))
            for place, size in sizes.items()
        }

    return cut


def by_time(log: Log, limit: int) -> Cut:
    """The stream's cut, of a driver that has just started."""
    slicer = Slicer(lambda _: limit, log.appended_since)
    return lambda start, end: slicer.cut(start, end, HORIZON_MS)


def micro_batches(
    log: Log, cut: Cut, visible: Iterable[dict[Place, int]], start: dict[Place, int] | None = None
) -> Iterator[list[Message]]:
    """The log in micro-batches; `visible` are the partitions' ends at each plan, the last one until all is read."""
    start = start or log.beginning
    for ends in visible:
        planned = cut(start, {place: max(end, start[place]) for place, end in ends.items()})
        yield log.read(start, planned)
        start = planned
    while start != log.end:
        planned = cut(start, log.end)
        yield log.read(start, planned)
        start = planned


def run_batch(state: State, messages: list[Message]) -> tuple[State, list[Outcome]]:
    """The stateful stage on one micro-batch: the new state and what became of the messages."""
    after, outcomes = dict(state), []
    ordered = sorted(messages, key=_bucket)
    for number, mine in groupby(ordered, _bucket):
        log = state.get(number, KeptLog())
        bucket = log.bucket(LIMITS, EUROS)
        outcomes += bucket.handle(mine)
        after[number] = log.after(bucket)
    return after, outcomes


def from_rows(rows: Iterable[Kept]) -> State:
    """The state of a new checkpoint that begins with a snapshot's rows."""
    ordered = sorted(rows, key=lambda row: bucket_of(row.customer_id.encode()))
    buckets = groupby(ordered, lambda row: bucket_of(row.customer_id.encode()))
    return {number: KeptLog.of(*state_of(mine)) for number, mine in buckets}


def bucket_of(key: bytes | None) -> int:
    """The bucket of a message's key."""
    return crc32(key or b"") % BUCKETS


def _bucket(message: Message) -> int:
    return bucket_of(message.key)


def fates(outcomes: Iterable[Outcome]) -> dict[Place | tuple[str, int, int], str]:
    """What became of each transaction, by partition and offset: its features to the bit, or that it came twice."""
    return {
        (o.topic, o.partition, o.offset or 0): repr(o.features) if o.features else o.kind
        for o in outcomes
        if o.kind in {Kind.TRANSACTION, Kind.DUPLICATE}
    }
