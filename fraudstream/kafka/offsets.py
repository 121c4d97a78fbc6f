"""The first and last offsets of Kafka's partitions, and the ids of their topics."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec

from fraudstream.kafka.errors import ClientErrors, connected
from fraudstream.settings.kafka import KafkaSettings

#: Topic and partition.
Place = tuple[str, int]
Offsets = dict[Place, int]

#: What is said of a partition while it gets a leader: librdkafka hands that on, or says itself that it found none.
_WITHOUT_LEADER = {KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._NOENT}
_AGAIN_SECONDS = 0.2


class Appended(NamedTuple):
    """A message of a partition: its offset, and when Kafka appended it, milliseconds since the epoch."""

    offset: int
    time_ms: int


class AppendTimes:
    """Questions of what Kafka appended when. Keeps its connection: who reads a backlog asks often."""

    def __init__(self, kafka: KafkaSettings, seconds: float) -> None:
        """An answer may take `seconds`."""
        self._kafka = kafka
        self._seconds = seconds
        self._errors = ClientErrors(kafka)
        self._admin: AdminClient | None = None

    def first_since(self, places: Iterable[Place], time_ms: int) -> dict[Place, Appended | None]:
        """The first message of each partition that was appended at `time_ms` or later; None where there is none.

        Raises KafkaUnavailableError.
        """
        spec = OffsetSpec.for_timestamp(time_ms)
        wanted = {TopicPartition(*place): spec for place in places}
        if self._admin is None:
            self._admin = _client(self._kafka, self._errors)
        with _explained(self._admin, self._errors):
            found = _answers(self._admin, wanted, time.monotonic() + self._seconds)
        return {place: Appended(at.offset, at.timestamp) if at.offset >= 0 else None for place, at in found.items()}


def earliest(kafka: KafkaSettings, topics: Iterable[str], seconds: float) -> Offsets:
    """The first offset that each partition still holds. Raises KafkaUnavailableError after `seconds`."""
    return _offsets(kafka, topics, OffsetSpec.earliest(), seconds)


def latest(kafka: KafkaSettings, topics: Iterable[str], seconds: float) -> Offsets:
    """The offset that each partition's next message will get. Raises KafkaUnavailableError after `seconds`."""
    return _offsets(kafka, topics, OffsetSpec.latest(), seconds)


def topic_ids(kafka: KafkaSettings, topics: Iterable[str], seconds: float) -> dict[str, str]:
    """Kafka's id of each topic that exists: another one when a topic was made anew. Raises KafkaUnavailableError."""
    with _asking(kafka) as admin:
        deadline = time.monotonic() + seconds
        known = admin.list_topics(timeout=seconds).topics
        wanted = TopicCollection([str(topic) for topic in topics if topic in known])
        answers = admin.describe_topics(wanted, request_timeout=seconds)
        return {topic: str(answer.result(timeout=_left(deadline)).topic_id) for topic, answer in answers.items()}


def unread(ends: Offsets, reached: Offsets) -> int:
    """Messages from what was reached (0 where that is unknown) to the ends. Offsets may have gaps: an upper bound."""
    return sum(max(0, end - reached.get(place, 0)) for place, end in ends.items())


def _offsets(kafka: KafkaSettings, topics: Iterable[str], spec: OffsetSpec, seconds: float) -> Offsets:
    with _asking(kafka) as admin:
        deadline = time.monotonic() + seconds
        known = admin.list_topics(timeout=seconds).topics
        wanted = {
            TopicPartition(str(topic), partition): spec
            for topic in topics
            if topic in known
            for partition in known[topic].partitions
        }
        return {place: at.offset for place, at in _answers(admin, wanted, deadline).items()}


def _answers(
    admin: AdminClient, wanted: dict[TopicPartition, OffsetSpec], deadline: float
) -> dict[Place, ListOffsetsResultInfo]:
    """What Kafka says of each partition; one that is between two leaders is asked again until the deadline."""
    while wanted:
        try:
            asked = admin.list_offsets(wanted, request_timeout=_left(deadline))
            return {(place.topic, place.partition): answer.result(_left(deadline)) for place, answer in asked.items()}
        except KafkaException as error:
            if error.args[0].code() not in _WITHOUT_LEADER or time.monotonic() + _AGAIN_SECONDS > deadline:
                raise
        time.sleep(_AGAIN_SECONDS)
        # The client keeps "no leader" for minutes, and asks no broker again unless it is told to.
        admin.list_topics(timeout=_left(deadline))
    return {}


@contextmanager
def _asking(kafka: KafkaSettings) -> Iterator[AdminClient]:
    """A client for questions. Raises KafkaUnavailableError for one without an answer, with the reason."""
    errors = ClientErrors(kafka)
    admin = _client(kafka, errors)
    with _explained(admin, errors):
        yield admin


def _client(kafka: KafkaSettings, errors: ClientErrors) -> AdminClient:
    config = kafka.client_config() | {"log_level": 0, "error_cb": errors}
    client: AdminClient = connected(AdminClient, kafka, config)
    return client


@contextmanager
def _explained(admin: AdminClient, errors: ClientErrors) -> Iterator[None]:
    """Turns a question without an answer into KafkaUnavailableError."""
    try:
        yield
    except (KafkaException, TimeoutError) as error:
        admin.poll(0)
        raise errors.explain(error) from error


def _left(deadline: float) -> float:
    return max(0.1, deadline - time.monotonic())
