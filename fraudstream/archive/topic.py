"""Reads a topic from the archive's own positions to the end that it has now."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from fraudstream.archive.lake import ArchiveError
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.kafka.acls import ConsumerGroup
from fraudstream.kafka.errors import ClientErrors, connected
from fraudstream.messages.contracts import Topic
from fraudstream.settings.kafka import KafkaSettings

ANSWER_SECONDS = 10.0
#: No message for so long, though the partition has more: the broker is gone.
SILENT_SECONDS = 30.0
_MESSAGES = 10_000
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Bounds:
    """What there is to read: of each partition the first offset and the one after the last.

    `expired` are offsets that Kafka no longer holds, though they weren't archived.
    """

    topic: Topic
    topic_id: str
    ranges: dict[int, tuple[int, int]]
    expired: dict[int, tuple[int, int]]


@dataclass(frozen=True)
class Chunk:
    """Messages of a topic, and the offset of each partition that follows them."""

    messages: list[Message]
    next_offsets: dict[int, int]


def topic_id(kafka: KafkaSettings, topic: Topic) -> str:
    """Kafka's id of the topic. Raises ArchiveError when there is no such topic; KafkaUnavailableError."""
    found = kafka_offsets.topic_ids(kafka, [topic], ANSWER_SECONDS)
    if topic not in found:
        raise ArchiveError(f"Kafka has no topic {topic}: run ./fraudctl up, which creates those that are missing")
    return found[topic]


def partitions(kafka: KafkaSettings, topic: Topic) -> list[int]:
    """The topic's partitions. Raises KafkaUnavailableError."""
    return [partition for _, partition in kafka_offsets.latest(kafka, [topic], ANSWER_SECONDS)]


def bounds(kafka: KafkaSettings, topic: Topic, identity: str, reached: Mapping[int, int]) -> Bounds:
    """What is to be read from `reached` on, or from Kafka's first message. Raises KafkaUnavailableError."""
    ends = kafka_offsets.latest(kafka, [topic], ANSWER_SECONDS)
    begins = kafka_offsets.earliest(kafka, [topic], ANSWER_SECONDS)
    ranges, expired = {}, {}
    for (_, partition), end in sorted(ends.items()):
        first = begins.get((topic, partition), 0)
        start = reached.get(partition, first)
        if start < first:
            expired[partition] = (start, first)
        if max(start, first) < end:
            ranges[partition] = (max(start, first), end)
    return Bounds(topic, identity, ranges, expired)


def read(kafka: KafkaSettings, wanted: Bounds, chunk_rows: int) -> Iterator[Chunk]:
    """The messages within the bounds, in chunks. Raises ArchiveError when Kafka is silent, KafkaUnavailableError."""
    if not wanted.ranges:
        return
    errors = ClientErrors(kafka)
    consumer: Consumer = connected(Consumer, kafka, kafka.consumer_config(ConsumerGroup.ARCHIVE))
    with closing(consumer):
        try:
            yield from _chunks(_messages(consumer, wanted), chunk_rows)
        except KafkaException as error:
            raise errors.explain(error) from error


def _chunks(messages: Iterator[Message], rows: int) -> Iterator[Chunk]:
    chunk = Chunk([], {})
    for message in messages:
        chunk.messages.append(message)
        chunk.next_offsets[message.partition() or 0] = (message.offset() or 0) + 1
        if len(chunk.messages) == rows:
            yield chunk
            chunk = Chunk([], {})
    if chunk.messages:
        yield chunk


def _messages(consumer: Consumer, wanted: Bounds) -> Iterator[Message]:
    left = {partition: end for partition, (_, end) in wanted.ranges.items()}
    consumer.assign([TopicPartition(wanted.topic, each, start) for each, (start, _) in wanted.ranges.items()])
    came = time.monotonic()
    while left:
        messages = consumer.consume(_MESSAGES, _POLL_SECONDS)
        if messages:
            came = time.monotonic()
        elif time.monotonic() - came > SILENT_SECONDS:
            raise ArchiveError(f"Kafka's topic {wanted.topic} gave nothing for {SILENT_SECONDS:.0f} s: is it up?")
        for message in messages:
            if error := message.error():
                raise KafkaException(error)
            partition, offset = message.partition() or 0, message.offset() or 0
            end = left.get(partition, 0)
            if offset < end:
                yield message
            if offset >= end - 1:
                left.pop(partition, None)
