"""Compares what Kafka holds with what Postgres stored: every transaction once, or refused with a reason.

./fraudctl bench exactly_once

Reads the topics up to where the stream's ledger stands, so that the platform may go on running meanwhile.
"""

import json
import os
from collections import Counter

from confluent_kafka import Consumer, TopicPartition

from fraudstream.settings import load_settings
from fraudstream.storage.connect import connect

OFFSETS = "SELECT kafka_partition, next_offset FROM fraud.stream_offsets WHERE topic = 'transactions'"


def sent_ids(consumer: Consumer, until: dict[int, int]) -> Counter[str]:
    """Counts of each transaction id in the topic, up to the given offsets; unreadable messages count as ''."""
    consumer.assign([TopicPartition("transactions", partition, 0) for partition in until])
    left = {partition for partition, offset in until.items() if offset > 0}
    ids: Counter[str] = Counter()
    while left:
        message = consumer.poll(30)
        if message is None or message.error():
            raise SystemExit(f"Kafka stopped answering: {message and message.error()}")
        partition, offset = message.partition(), message.offset()
        assert partition is not None and offset is not None  # noqa: S101 - a message without an error has both
        if offset < until[partition]:
            try:
                ids[json.loads(message.value() or b"")["transaction_id"]] += 1
            except (ValueError, KeyError, TypeError):
                ids[""] += 1
        if offset + 1 >= until[partition]:
            left.discard(partition)
    return ids


def main() -> None:
    """Prints the comparison; ends with 1 when anything differs."""
    settings = load_settings()
    with connect(settings, settings.postgres.writer, name="bench exactly_once") as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        until: dict[int, int] = dict(connection.execute(OFFSETS).fetchall())
        stored = Counter(row[0] for row in connection.execute("SELECT transaction_id FROM fraud.scored_transactions"))
        dead = connection.execute("SELECT count(*) FROM fraud.dead_letters WHERE topic = 'transactions'").fetchone()
    consumer = Consumer(
        {"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP"], "group.id": "exactly-once", "enable.auto.commit": False}
    )
    sent = sent_ids(consumer, until)
    consumer.close()
    missing = set(sent) - set(stored) - {""}
    extra = set(stored) - set(sent)
    refused = dead[0] if dead else 0
    print(f"sent {sent.total()} messages, {len(sent)} distinct ids; stored {stored.total()} rows, {len(stored)} ids")
    print(f"dead letters {refused}; missing {len(missing)}, stored but not sent {len(extra)}")
    if len(missing) > refused or extra or stored.total() != len(stored):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
