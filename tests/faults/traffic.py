"""The simulated shop, with a record of which transactions Kafka acknowledged.

    python -m tests.faults.traffic FILE produce --rate 300

Everything after FILE goes to `fraudstream.simulator`. FILE gets a line for each acknowledged valid transaction, written
in the delivery report, so that a `kill -9` of this process loses none that was reported.
"""

import os
import sys
import time
from datetime import timedelta

from confluent_kafka import KafkaError
from confluent_kafka import Message as KafkaMessage

from fraudstream.messages.contracts import Topic, Transaction
from fraudstream.messages.validation import decode
from fraudstream.settings.kafka import KafkaSettings
from fraudstream.simulator.__main__ import main
from fraudstream.simulator.produce import connection
from fraudstream.simulator.publisher import Publisher

record = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


class RecordingPublisher(Publisher):
    """The producer's own publisher, which also writes down what was acknowledged."""

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__(settings)

    def _on_delivery(self, error: KafkaError | None, message: KafkaMessage) -> None:
        super()._on_delivery(error, message)
        if error is None and message.topic() == Topic.TRANSACTIONS:
            now_ms = int(time.time() * 1000)
            event = decode(Topic.TRANSACTIONS, message.key(), message.value(), now_ms, timedelta(minutes=5))
            if isinstance(event, Transaction):
                os.write(record, event.transaction_id.encode() + b"\n")


if __name__ == "__main__":
    connection.Publisher = RecordingPublisher  # type: ignore[misc]
    del sys.argv[1]
    main()
