"""Gaps between the ledger's positions and what Kafka still holds."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from psycopg import Connection
from psycopg.rows import args_row

from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.kafka.offsets import Offsets
from fraudstream.messages.contracts import INPUT_TOPICS
from fraudstream.settings.kafka import KafkaSettings

#: Kafka answers a question within this time, or is away.
ANSWER_SECONDS = 10.0

_POSITIONS = """
SELECT topic, kafka_partition, first_offset, next_offset, topic_id FROM fraud.stream_offsets
WHERE topic NOT LIKE '%@%' ORDER BY topic, kafka_partition
"""


@dataclass(frozen=True)
class Position:
    """The ledger's position in a partition: accounted for from `first_offset` until `next_offset`."""

    topic: str
    partition: int
    first_offset: int
    next_offset: int
    topic_id: str | None  # unknown for what was read before ids were kept

    @property
    def place(self) -> tuple[str, int]:
        """Topic and partition."""
        return self.topic, self.partition

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


@dataclass(frozen=True)
class KafkaView:
    """The input topics as Kafka holds them: first offset, end, and id of the topic. `topics` are those asked for."""

    begins: Offsets
    ends: Offsets
    ids: dict[str, str]
    topics: Collection[str] = INPUT_TOPICS


class Cause(Enum):
    """Cause of a break: why the stream can't go on from a position."""

    GONE = "gone"
    ANEW = "made anew"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Break:
    """A position that Kafka can't go on from. `text` says what was found, for people."""

    position: Position
    cause: Cause
    text: str


def positions(connection: Connection[Any]) -> list[Position]:
    """The ledger's positions; topics that were made anew since aren't among them (their names hold an `@`)."""
    with connection.cursor(row_factory=args_row(Position)) as cursor:
        return cursor.execute(_POSITIONS).fetchall()


def look(kafka: KafkaSettings, topics: Collection[str]) -> KafkaView:
    """Asks Kafka for the topics that the stream reads. Raises KafkaUnavailableError."""
    return KafkaView(
        kafka_offsets.earliest(kafka, topics, ANSWER_SECONDS),
        kafka_offsets.latest(kafka, topics, ANSWER_SECONDS),
        kafka_offsets.topic_ids(kafka, topics, ANSWER_SECONDS),
        topics,
    )


def breaks(of: Iterable[Position], view: KafkaView) -> Iterator[Break]:
    """The breaks, partition by partition."""
    for position in of:
        reached, place = position.next_offset, position.place
        current = view.ids.get(position.topic)
        if position.topic not in view.topics:
            text = (
                f"{position} is read by no mapping any more, and the ledger is at offset {reached}: put its file back "
                "into FRAUDSTREAM_SOURCES, where an idle topic costs nothing"
            )
            yield Break(position, Cause.GONE, text)
        elif place not in view.ends:
            yield Break(position, Cause.GONE, f"{position} is gone from Kafka; the ledger is at offset {reached}")
        elif position.topic_id and current and current != position.topic_id:
            text = f"{position} has the id {current}, but the ledger read {position.topic_id}: the topic was made anew"
            yield Break(position, Cause.ANEW, text)
        elif view.ends[place] < reached:
            text = (
                f"{position} ends at offset {view.ends[place]}, but the ledger is at {reached}: the topic was made anew"
            )
            yield Break(position, Cause.ANEW, text)
        elif view.begins.get(place, 0) > reached:
            first = view.begins[place]
            text = f"{position} begins at offset {first}: {reached} to {first - 1} expired before they were read"
            yield Break(position, Cause.EXPIRED, text)
