"""Kafka's side of the producer: idempotent, every delivery counted, nothing lost in silence."""

import logging
from collections.abc import Iterable
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from fraudstream.errors import FraudstreamError
from fraudstream.kafka import access as kafka_access
from fraudstream.kafka.errors import ClientErrors, connected, delivery_failure
from fraudstream.settings.kafka import KafkaSettings, Role
from fraudstream.simulator.messages import MAX_SENT_BYTES, Message

log = logging.getLogger(__name__)

CONNECT_SECONDS = 20.0
#: How long a message is retried before the run fails: much longer than a broker's restart.
DELIVERY_SECONDS = 300
FLUSH_SECONDS = 12.0  # supervisors give a stopping process 15 s


class KafkaDeliveryError(FraudstreamError):
    """Kafka can't be reached, or didn't take a message."""


class Publisher:
    """A Kafka producer that counts its messages: sent, acknowledged and failed."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._kafka = settings.as_role(Role.PRODUCER)
        self._errors = ClientErrors(self._kafka)
        self.sent = 0
        self.acknowledged = 0
        self.failed = 0
        self._failure = ""
        self._fatal = ""
        self._producer = connected(
            partial(Producer, logger=log),
            self._kafka,
            {
                **self._kafka.producer_config(),
                "client.id": "fraudstream-producer",
                "linger.ms": 20,
                "message.max.bytes": MAX_SENT_BYTES,
                "compression.type": "lz4",
                "message.timeout.ms": DELIVERY_SECONDS * 1000,
                "reconnect.backoff.ms": 500,
                "reconnect.backoff.max.ms": 3_000,
                "queue.buffering.max.messages": 500_000,
                "queue.buffering.max.kbytes": 262_144,
                "error_cb": self._on_error,
            },
        )

    def check(self, topics: Iterable[str]) -> None:
        """Raises KafkaUnavailableError when Kafka doesn't answer or refuses us, KafkaDeliveryError without a topic."""
        wanted = sorted(set(topics))
        kafka_access.check(self._settings, Role.PRODUCER, CONNECT_SECONDS, wanted)
        try:
            known = self._producer.list_topics(timeout=CONNECT_SECONDS).topics
        except KafkaException as error:
            raise self._errors.explain(error) from None
        if missing := [topic for topic in wanted if topic not in known]:
            raise KafkaDeliveryError(
                f"Kafka at {self._kafka.bootstrap} has no topic {missing[0]}: ./fraudctl up creates it"
            )

    def send(self, message: Message) -> None:
        """Queues `message`; waits while the queue is full. Raises KafkaDeliveryError when one failed."""
        while True:
            try:
                self._producer.produce(message.topic, message.value, message.key, on_delivery=self._on_delivery)
                break
            except BufferError:
                self._producer.poll(0.1)
                self._raise_failure()
            except KafkaException as error:
                raise KafkaDeliveryError(
                    f"a message of {len(message.value):,} bytes for {message.topic} can't be sent: "
                    f"{error.args[0].str()} ({self.report})"
                ) from error
        self.sent += 1

    def serve(self) -> None:
        """Handles new delivery reports. Raises KafkaDeliveryError when a message could not be delivered."""
        self._producer.poll(0)
        self._raise_failure()

    def close(self) -> None:
        """Sends the queued messages. Raises KafkaDeliveryError when not all of it was acknowledged in time."""
        left = self._producer.flush(FLUSH_SECONDS)
        self._raise_failure()
        if left:
            raise KafkaDeliveryError(
                f"{left} of {self.sent} messages were not acknowledged within {FLUSH_SECONDS:.0f} s: "
                f"{self._errors.explain()}"
            )

    @property
    def report(self) -> str:
        """One line of counts."""
        return f"sent {self.sent}, acknowledged {self.acknowledged}, failed {self.failed}"

    def _on_delivery(self, error: KafkaError | None, message: KafkaMessage) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self.failed += 1
            why = delivery_failure(self._kafka, error, message.topic())
            self._failure = f"a message for {message.topic()} was not delivered: {why}"

    def _on_error(self, error: KafkaError) -> None:
        self._errors(error)
        if error.fatal():  # the others are retried, and logged by librdkafka itself
            self._fatal = f"Kafka's client can't go on: {error.str()}"

    def _raise_failure(self) -> None:
        if self._fatal or self._failure:
            raise KafkaDeliveryError(f"{self._fatal or self._failure} ({self.report})")
