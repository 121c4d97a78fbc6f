"""Kafka's side of a replay: sends dead letters to their topics again, and finds those that an earlier run sent."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from fraudstream.dead_letters.rows import Claimed, Letter, Place, ReplayError
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.kafka.acls import ConsumerGroup
from fraudstream.kafka.errors import ClientErrors, connected
from fraudstream.kafka.offsets import Offsets
from fraudstream.messages.contracts import INPUT_TOPICS
from fraudstream.settings.kafka import KafkaSettings, Role

#: The header that says of which message this one is a replay, as TOPIC/PARTITION/OFFSET.
REPLAY_OF = "replay_of"
#: A message that Kafka hasn't acknowledged within this time is given up, and not sent any more.
SEND_SECONDS = 15
ANSWER_SECONDS = 10.0


class DeadLetterTopics:
    """The topics that the stream reads."""

    def __init__(self, kafka: KafkaSettings, topics: Sequence[str] = INPUT_TOPICS) -> None:
        self._kafka = kafka.as_role(Role.REPLAY)
        self._topics = topics

    def ends(self) -> Offsets:
        """End of each partition now. Raises KafkaUnavailableError."""
        return kafka_offsets.latest(self._kafka, self._topics, ANSWER_SECONDS)

    def send(self, letters: Sequence[Letter]) -> dict[Place, int]:
        """Sends `letters`; the offset of each that Kafka acknowledged. The others may be in Kafka, or not."""
        acknowledged: dict[Place, int] = {}
        config = self._kafka.producer_config() | {"message.timeout.ms": SEND_SECONDS * 1000, "log_level": 0}
        producer: Producer = connected(Producer, self._kafka, config)

        for place, key, value in letters:

            def note(error: KafkaError | None, message: Message, place: Place = place) -> None:
                offset = message.offset()
                if error is None and offset is not None:
                    acknowledged[place] = offset

            headers: list[tuple[str, str | bytes | None]] = [(REPLAY_OF, str(place).encode())]
            producer.produce(place.topic, value, key, partition=place.partition, headers=headers, on_delivery=note)
            producer.poll(0)
        producer.flush()  # ends by itself: each message is acknowledged or given up
        return acknowledged

    def find(self, claimed: Iterable[Claimed]) -> dict[Place, int]:
        """The offsets of those that lie in Kafka, by their header, from where each was claimed on.

        Raises ReplayError when Kafka stops answering.
        """
        wanted: dict[tuple[str, int], list[Claimed]] = defaultdict(list)
        for claim in claimed:
            wanted[claim.place.topic, claim.place.partition].append(claim)
        ends = self.ends()
        found: dict[Place, int] = {}
        for where, claims in wanted.items():
            by_header = {str(claim.place).encode(): claim for claim in claims}
            first = min(claim.start for claim in claims)
            for ref, offset in self._replays(where, first, ends.get(where, 0)):
                if ref in by_header and offset >= by_header[ref].start:
                    found.setdefault(by_header[ref].place, offset)
        return found

    def _replays(self, where: tuple[str, int], start: int, end: int) -> Iterable[tuple[bytes, int]]:
        """The headers `replay_of`, with offsets, of a partition's messages from `start` until `end`."""
        if start >= end:
            return
        topic, partition = where
        errors = ClientErrors(self._kafka)
        config = self._kafka.consumer_config(ConsumerGroup.REPLAY) | {
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",  # when what lay at `start` has expired
            "log_level": 0,
            "error_cb": errors,
        }
        consumer: Consumer = connected(Consumer, self._kafka, config)
        try:
            consumer.assign([TopicPartition(topic, partition, start)])
            while (message := consumer.poll(ANSWER_SECONDS)) is not None:  # one without a value is falsy
                error, offset = message.error(), message.offset()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise ReplayError(f"{topic}/{partition} can't be read: {errors.explain(KafkaException(error))}")
                if error is not None or offset is None or offset >= end:
                    return
                ref = dict(message.headers() or []).get(REPLAY_OF)
                if isinstance(ref, bytes):
                    yield ref, offset
            raise errors.explain()
        except KafkaException as problem:
            raise ReplayError(f"{topic}/{partition} can't be read: {errors.explain(problem)}") from problem
        finally:
            consumer.close()
