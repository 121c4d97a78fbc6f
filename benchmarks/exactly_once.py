"""Compares what Kafka holds with what Postgres stored: every transaction once, or refused with a reason.

./fraudctl bench exactly_once

Reads the topics up to where the stream's ledger stands, so that the platform may go on running meanwhile. Of a deleted
transaction the ids that retention keeps count, and of stored ones those that Kafka still holds.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

import typer
from confluent_kafka import Consumer, TopicPartition

from fraudstream.settings import load_settings
from fraudstream.storage.connect import Postgres, connect
from fraudstream.storage.expressions import ID_HASH

OFFSETS = "SELECT kafka_partition, next_offset FROM fraud.stream_offsets WHERE topic = 'transactions'"
STORED = "SELECT transaction_id, kafka_partition, kafka_offset FROM fraud.scored_transactions"
UNKNOWN = f"""
    SELECT transaction_id FROM unnest(%s::text[]) AS sent (transaction_id)
    WHERE NOT EXISTS (SELECT FROM fraud.scored_transactions AS t WHERE t.transaction_id = sent.transaction_id)
        AND NOT EXISTS (SELECT FROM fraud.retired_transactions AS r WHERE r.id_hash = {ID_HASH.format(of="sent")})
"""  # noqa: S608 (constants)
#: Ids of one query.
ASKED = 10_000


def begins(consumer: Consumer, partitions: Iterable[int]) -> dict[int, int]:
    """The first offset that Kafka still holds of each partition."""
    return {
        partition: consumer.get_watermark_offsets(TopicPartition("transactions", partition), 30)[0]
        for partition in partitions
    }


def unknown(connection: Postgres, ids: Iterable[str]) -> Iterator[str]:
    """Those of `ids` that are neither stored nor deleted by retention."""
    left = iter(ids)
    while part := list(islice(left, ASKED)):
        yield from (found for (found,) in connection.execute(UNKNOWN, (part,)))


def sent_ids(consumer: Consumer, since: dict[int, int], until: dict[int, int]) -> Counter[str]:
    """Counts of each transaction id in the topic, between the given offsets; unreadable messages count as ''."""
    consumer.assign([TopicPartition("transactions", partition, offset) for partition, offset in since.items()])
    left = {partition for partition, offset in until.items() if offset > since[partition]}
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
        rows = connection.execute(STORED).fetchall()
        dead = connection.execute("SELECT count(*) FROM fraud.dead_letters WHERE topic = 'transactions'").fetchone()
    consumer = Consumer(
        {"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP"], "group.id": "exactly-once", "enable.auto.commit": False}
    )
    since = begins(consumer, until)
    sent = sent_ids(consumer, since, until)
    consumer.close()
    with connect(settings, settings.postgres.writer, name="bench exactly_once") as connection:
        missing = list(unknown(connection, set(sent) - {""}))
    stored = Counter(name for name, _, _ in rows)
    extra = {name for name, partition, offset in rows if offset >= since.get(partition, 0)} - set(sent)
    refused = dead[0] if dead else 0
    print(f"sent {sent.total()} messages, {len(sent)} distinct ids; stored {stored.total()} rows, {len(stored)} ids")
    print(f"dead letters {refused}; missing {len(missing)}, stored but not sent {len(extra)}")
    if len(missing) > refused or extra or stored.total() != len(stored):
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
