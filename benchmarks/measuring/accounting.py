"""Losses and repeats of a stream, looked for when it has drained.

Rows that retention has deleted count by what it leaves of them, so that nothing younger must be left out.
"""

from collections.abc import Iterator

from confluent_kafka import Consumer

from benchmarks.exactly_once import begins, sent_ids, unknown
from benchmarks.measuring.stream import Stream
from fraudstream.ledger.figures import MESSAGES, READ
from fraudstream.ledger.reconciliation import reconcile
from fraudstream.messages.contracts import INPUT_TOPICS, Topic
from fraudstream.storage.connect import Postgres

IDENTITY = f"""
    SELECT topic, kafka_partition, {READ} AS read,
        {MESSAGES} AS accounted, next_offset
    FROM fraud.stream_offsets ORDER BY topic, kafka_partition
"""  # noqa: S608 (constants)
# Rows, distinct ids, rows of all time, and what the ledger says these are.
STORED = """
    SELECT count(*), count(DISTINCT transaction_id),
        count(*) + coalesce((SELECT total FROM fraud.retired_totals
                             WHERE (table_name, figure) = ('scored_transactions', 'rows')), 0)::bigint,
        (SELECT coalesce(sum(scored), 0)::bigint FROM fraud.stream_offsets)
    FROM fraud.scored_transactions
"""


def differences(stream: Stream, database: Postgres) -> Iterator[str]:
    """Differences: of the identity by partition, of ids sent and stored, of Kafka and ledger and tables.

    Ids are those in the platform's own topic: of what a shop sends in its own form, only numbers are compared.
    """
    ends = stream.ends()
    for topic, partition, read, accounted, next_offset in database.execute(IDENTITY).fetchall():
        if read != accounted:
            yield f"{topic}/{partition}: {read} messages read, {accounted} accounted for"
        if next_offset != ends[topic, partition]:
            yield f"{topic}/{partition}: the ledger is at {next_offset}, Kafka's end is {ends[topic, partition]}"
    if stream.topics == INPUT_TOPICS:
        yield from _ids(stream, database)
    yield from reconcile(stream.settings, whole=True).differences


def _ids(stream: Stream, database: Postgres) -> Iterator[str]:
    sent, is_whole = _sent(stream)
    ((rows, stored, ever, scored),) = database.execute(STORED).fetchall()
    if rows != stored or ever != scored:
        yield f"{stored} distinct ids stored in {rows} rows, {ever} with those deleted; the ledger says {scored}"
    if len(sent) > ever or (is_whole and len(sent) < ever):
        yield f"{len(sent)} distinct ids sent, {ever} stored"
    if missing := list(unknown(database, sent)):
        yield f"{len(missing)} ids were sent and aren't stored, such as {missing[0]}"


def _sent(stream: Stream) -> tuple[set[str], bool]:
    """The distinct ids that lie in the topic: all that the broker acknowledged, or False and what hasn't expired."""
    config = stream.settings.kafka.client_config() | {"group.id": "accounting", "enable.auto.commit": False}
    consumer = Consumer(config)
    until = {partition: end for (topic, partition), end in stream.ends().items() if topic == Topic.TRANSACTIONS}
    since = begins(consumer, until)
    found = sent_ids(consumer, since, until)
    consumer.close()
    return set(found), not any(since.values())
