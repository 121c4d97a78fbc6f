"""The first and last offsets of Kafka's partitions, and the ids of their topics."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from fraudstream.kafka.errors import ClientErrors, connected
from fraudstream.messages.contracts import Topic
from fraudstream.settings.kafka import KafkaSettings

#: By topic and partition.
Offsets = dict[tuple[str, int], int]


def earliest(kafka: KafkaSettings, topics: Iterable[Topic], seconds: float) -> Offsets:
    """The first offset that each partition still holds. Raises KafkaUnavailableError after `seconds`."""
    return _offsets(kafka, topics, OffsetSpec.earliest(), seconds)


def latest(kafka: KafkaSettings, topics: Iterable[Topic], seconds: float) -> Offsets:
    """The offset that each partition's next message will get. Raises KafkaUnavailableError after `seconds`."""
    return _offsets(kafka, topics, OffsetSpec.latest(), seconds)


def topic_ids(kafka: KafkaSettings, topics: Iterable[Topic], seconds: float) -> dict[str, str]:
    """Kafka's id of each topic that exists: another one when a topic was made anew. Raises KafkaUnavailableError."""
    with _asking(kafka) as admin:
        deadline = time.monotonic() + seconds
        known = admin.list_topics(timeout=seconds).topics
        wanted = TopicCollection([topic.value for topic in topics if topic.value in known])
        answers = admin.describe_topics(wanted, request_timeout=seconds)
        return {topic: str(answer.result(timeout=_left(deadline)).topic_id) for topic, answer in answers.items()}


def unread(ends: Offsets, reached: Offsets) -> int:
    """Messages from what was reached (0 where that is unknown) to the ends. Offsets may have gaps: an upper bound."""
    return sum(max(0, end - reached.get(place, 0)) for place, end in ends.items())


def _offsets(kafka: KafkaSettings, topics: Iterable[Topic], spec: OffsetSpec, seconds: float) -> Offsets:
    with _asking(kafka) as admin:
        deadline = time.monotonic() + seconds
        known = admin.list_topics(timeout=seconds).topics
        wanted = {
            TopicPartition(topic.value, partition): spec
            for topic in topics
            if topic.value in known
            for partition in known[topic.value].partitions
        }
        answers = admin.list_offsets(wanted, request_timeout=seconds) if wanted else {}
        return {
            (place.topic, place.partition): answer.result(timeout=_left(deadline)).offset
            for place, answer in answers.items()
        }


@contextmanager
def _asking(kafka: KafkaSettings) -> Iterator[AdminClient]:
    """A client for questions. Raises KafkaUnavailableError for one without an answer, with the reason."""
    errors = ClientErrors(kafka)
    admin = connected(AdminClient, kafka, kafka.client_config() | {"log_level": 0, "error_cb": errors})
    try:
        yield admin
    except (KafkaException, TimeoutError) as error:
        admin.poll(0)
        raise errors.explain(error) from error


def _left(deadline: float) -> float:
    return max(0.1, deadline - time.monotonic())
