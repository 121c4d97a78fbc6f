"""The newest messages of a live topic. Reads with an assignment of its own, and commits nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from fraudstream.errors import FraudstreamError
from fraudstream.kafka.acls import ConsumerGroup
from fraudstream.kafka.errors import ClientErrors, connected
from fraudstream.mappings.files import Row, Unreadable
from fraudstream.messages.formats.errors import PayloadError
from fraudstream.messages.formats.payloads import payload_decoder
from fraudstream.messages.mapping.file import Source
from fraudstream.settings.kafka import KafkaSettings, Role

_SECONDS = 10.0
_POLL_SECONDS = 0.5
_PARTITIONS = 8  # so many are each read for all of the messages; of more, each for its share


class TopicError(FraudstreamError):
    """A topic has nothing to look at."""


def newest(kafka: KafkaSettings, topic: str, count: int, source: Source) -> Iterator[Row]:
    """The newest `count` messages by Kafka's time, in their order, as records of `source`, without deletes.

    Raises MappingError for a source that is none of a topic, TopicError, and RegistryUnavailableError,
    KafkaUnavailableError or KafkaRefusedError when the registry or Kafka doesn't answer or let us read.
    """
    decode = payload_decoder(source)
    mine = kafka.as_role(Role.READER)
    errors = ClientErrors(mine)
    config = mine.consumer_config(ConsumerGroup.COLLECT) | {"log_level": 0, "error_cb": errors}
    consumer: Consumer = connected(Consumer, mine, config)
    try:
        with closing(consumer):
            messages = sorted(_messages(consumer, topic, count), key=lambda each: each.timestamp()[1])
    except KafkaException as error:
        raise errors.explain(error) from error
    for number, message in enumerate(messages[-count:], start=1):
        if (record := _record(decode, message.value())) is not None:
            yield Row(number, record, f"partition {message.partition()}, offset {message.offset()}")


def _messages(consumer: Consumer, topic: str, count: int) -> Iterator[Message]:
    left = _ranges(consumer, topic, count)
    consumer.assign([TopicPartition(topic, partition, start) for partition, (start, _) in left.items()])
    until = time.monotonic() + _SECONDS
    while left:
        for message in consumer.consume(count, _POLL_SECONDS):
            until = time.monotonic() + _SECONDS
            if error := message.error():
                raise KafkaException(error)
            partition, offset = message.partition() or 0, message.offset() or 0
            end = left.get(partition, (0, 0))[1]
            if offset < end:
                yield message
            if offset >= end - 1:
                left.pop(partition, None)
        if time.monotonic() > until:
            return  # what is left are marks of transactions, which no consumer gets


def _ranges(consumer: Consumer, topic: str, count: int) -> dict[int, tuple[int, int]]:
    """The offsets to read of each partition that holds something: the first one, and the one after the last."""
    known = consumer.list_topics(topic, _SECONDS).topics.get(topic)
    if known is None or known.error is not None or not known.partitions:
        raise TopicError(
            f"Kafka has no topic {topic!r}, or doesn't show it: say --topic as your shop calls it, or make it before "
            f"the first message comes (./fraudctl create-topic {topic})"
        )
    share = count if len(known.partitions) <= _PARTITIONS else -(-_PARTITIONS * count // len(known.partitions))
    found = {}
    for partition in known.partitions:
        first, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), _SECONDS)
        if first < end:
            found[partition] = (max(first, end - share), end)
    if not found:
        raise TopicError(f"Kafka's topic {topic!r} holds no message: nothing to check")
    return found


def _record(decode: Callable[[bytes | None], Any], value: bytes | None) -> Any:
    try:
        return decode(value)
    except PayloadError as error:
        return Unreadable(f"{error.rejection.reason}: {error}")
