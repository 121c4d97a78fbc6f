"""Losses and repeats of a stream, looked for when it has drained."""

from collections.abc import Iterator

from confluent_kafka import Consumer

from benchmarks.exactly_once import sent_ids
from benchmarks.measuring.stream import Stream
from fraudstream.ledger.figures import MESSAGES, READ
from fraudstream.ledger.reconciliation import reconcile
from fraudstream.messages.contracts import Topic
from fraudstream.storage.connect import Postgres

IDENTITY = f"""
    SELECT topic, kafka_partition, {READ} AS read,
        {MESSAGES} AS accounted, next_offset
    FROM fraud.stream_offsets ORDER BY topic, kafka_partition
"""  # noqa: S608 (constants)
STORED = "SELECT count(*), count(DISTINCT transaction_id) FROM fraud.scored_transactions"


def differences(stream: Stream, database: Postgres) -> Iterator[str]:
    """Differences: of the identity by partition, of ids sent and stored, of Kafka and ledger and tables."""
    ends = stream.ends()
    for topic, partition, read, accounted, next_offset in database.execute(IDENTITY).fetchall():
        if read != accounted:
            yield f"{topic}/{partition}: {read} messages read, {accounted} accounted for"
        if next_offset != ends[topic, partition]:
            yield f"{topic}/{partition}: the ledger is at {next_offset}, Kafka's end is {ends[topic, partition]}"
    sent = _sent(stream)
    rows, stored = database.execute(STORED).fetchone() or (0, 0)
    if not len(sent) == rows == stored:
        yield f"{len(sent)} distinct ids sent, {stored} distinct ids stored in {rows} rows"
    yield from reconcile(stream.settings, whole=True).differences


def _sent(stream: Stream) -> set[str]:
    """The distinct ids that lie in the topic: all that the broker acknowledged."""
    config = stream.settings.kafka.client_config() | {"group.id": "accounting", "enable.auto.commit": False}
    consumer = Consumer(config)
    until = {partition: end for (topic, partition), end in stream.ends().items() if topic == Topic.TRANSACTIONS}
    found = sent_ids(consumer, until)
    consumer.close()
    return set(found)
