"""The control message by which the stream forgets a profile: an erased customer's key, without a value.

It goes to `browse-events` like the customer's own messages, so that it comes to the bucket that has the profile, after
all that was sent before.
"""

import time
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from fraudstream.erasure.certificate import Certificate
from fraudstream.kafka.errors import KafkaUnavailableError, connected
from fraudstream.messages.contracts import QUERY, Topic
from fraudstream.settings.kafka import KafkaSettings, Role
from fraudstream.storage.connect import Postgres

SEND_SECONDS = 15
_POLL_SECONDS = 1.0
_POSITION = "SELECT next_offset FROM fraud.stream_offsets WHERE (query, topic, kafka_partition) = (%s, %s, %s)"


def send(kafka: KafkaSettings, customer: str) -> dict[str, Any]:
    """Sends it; where Kafka has it: topic, partition, offset. Raises KafkaUnavailableError."""
    kafka = kafka.as_role(Role.REPLAY)
    config = kafka.producer_config() | {"message.timeout.ms": SEND_SECONDS * 1000, "log_level": 0}
    producer: Producer = connected(Producer, kafka, config)
    acknowledged: list[dict[str, Any]] = []

    def note(error: KafkaError | None, message: Message) -> None:
        if error is None:
            acknowledged.append(
                {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
            )

    producer.produce(Topic.BROWSE_EVENTS, None, customer.encode(), on_delivery=note)
    producer.flush()
    if not acknowledged:
        raise KafkaUnavailableError(
            f"Kafka at {kafka.bootstrap} didn't take the message at which the stream forgets the profile: see that it "
            "runs, and erase again"
        )
    return acknowledged[0]


def has_passed(connection: Postgres, certificate: Certificate) -> bool:
    """Whether the stream has committed the control message, and all that was sent before."""
    control = certificate.control
    if control is None:
        return False
    row = connection.execute(_POSITION, (QUERY, control["topic"], control["partition"])).fetchone()
    return row is not None and int(row[0]) > int(control["offset"])


def wait(connection: Postgres, certificate: Certificate, seconds: float) -> bool:
    """Waits until `has_passed`, for so long at most."""
    until = time.monotonic() + seconds
    while not (passed := has_passed(connection, certificate)) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
    return passed
