"""Keeps the browse events of sessions that ended in an alert: `python -m fraudstream.watch.alert_sessions`.

The stream keeps no browse event. What it flagged in the last minutes still lies in Kafka: a run reads the topic once
for all new alerts, from `FRAUDSTREAM_WATCH__SESSION_MINUTES` before the first of them, keeps what belongs to their
sessions, and notes on each alert that it was looked for, in one transaction. A run that was killed before is repeated
by the next, and an event that is there stays: its key is its customer, session and id. Kafka is read while nothing is
locked, so that no commit of the stream ever waits.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import NamedTuple

import psycopg
import typer
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from fraudstream.errors import told_in_one_line
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.kafka.acls import ConsumerGroup
from fraudstream.kafka.errors import ClientErrors, connected
from fraudstream.kafka.offsets import AppendTimes, Offsets
from fraudstream.messages.contracts import BrowseEvent, Topic
from fraudstream.messages.validation import decode
from fraudstream.settings import Settings, load_settings
from fraudstream.settings.kafka import KafkaSettings, Role
from fraudstream.storage.connect import Postgres, connect

#: Of one session: the newest. A bot's may have any number.
MOST_EVENTS = 500
#: Alerts of one reading of Kafka, and the time that they may span: so much is read, and held in memory, at most.
AT_ONCE = 5000
SPAN = timedelta(minutes=15)
ANSWER_SECONDS = 10.0
_CHUNK = 10_000

_UNREAD = """
SELECT transaction_id, customer_id, session_id, ingest_time
FROM fraud.fraud_alerts JOIN fraud.scored_transactions USING (transaction_id, customer_id)
WHERE session_read_at IS NULL ORDER BY created_at, transaction_id LIMIT %s
"""
_KEEP = """
INSERT INTO fraud.session_events
    (customer_id, session_id, event_id, event_time, event_type, product_id, device_id)
VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_READ = "UPDATE fraud.fraud_alerts SET session_read_at = clock_timestamp() WHERE transaction_id = ANY(%s)"


class Alert(NamedTuple):
    """An alert whose session wasn't looked for yet; `ingest_time` is when Kafka appended its transaction."""

    transaction_id: str
    customer_id: str
    session_id: str | None
    ingest_time: datetime


Sessions = dict[tuple[str, str], deque[BrowseEvent]]  # by customer and session


def keep(connection: Postgres, settings: Settings) -> tuple[int, int]:
    """Keeps the events of all new alerts' sessions, over an autocommitting connection; counts of alerts and events.

    Raises KafkaUnavailableError and psycopg.Error: what was noted by then stays, and the next run goes on.
    """
    alerts = events = 0
    while chosen := _unread(connection):
        sessions = _sessions(settings, chosen)
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(_KEEP, [_row(event) for found in sessions.values() for event in found])
            cursor.execute(_READ, ([alert.transaction_id for alert in chosen],))
        alerts += len(chosen)
        events += sum(map(len, sessions.values()))
    return alerts, events


def _unread(connection: Postgres) -> list[Alert]:
    """The next alerts, of a time that Kafka is read for at once."""
    found = [Alert(*row) for row in connection.execute(_UNREAD, (AT_ONCE,))]
    return [alert for alert in found if abs(alert.ingest_time - found[0].ingest_time) <= SPAN]


def _sessions(settings: Settings, alerts: list[Alert]) -> Sessions:
    """The newest events of each alert's session."""
    wanted = {(alert.customer_id, alert.session_id) for alert in alerts if alert.session_id is not None}
    keys = {customer.encode() for customer, _ in wanted}
    sessions: Sessions = defaultdict(lambda: deque(maxlen=MOST_EVENTS))
    if not wanted:
        return sessions
    times = [alert.ingest_time for alert in alerts]
    first = min(times) - timedelta(minutes=settings.watch.session_minutes)
    kafka = settings.kafka.as_role(Role.READER)
    for message in _messages(kafka, *_range(kafka, first, max(times))):
        if message.key() in keys:  # the only work on all others
            event = _decoded(message, timedelta(seconds=settings.stream.max_future_seconds))
            if event and (event.customer_id, event.session_id) in wanted:
                sessions[event.customer_id, event.session_id].append(event)
    return sessions


def _range(kafka: KafkaSettings, first: datetime, last: datetime) -> tuple[Offsets, Offsets]:
    """Offsets of the browse events from `first` on, and the ends of those until `last`."""
    ends = kafka_offsets.latest(kafka, [Topic.BROWSE_EVENTS], ANSWER_SECONDS)
    times = AppendTimes(kafka, ANSWER_SECONDS)
    since = times.first_since(ends, int(first.timestamp() * 1000))
    after = times.first_since(ends, int(last.timestamp() * 1000) + 1)
    begins = {place: at.offset for place, at in since.items() if at}
    return begins, {place: at.offset if (at := after[place]) else ends[place] for place in begins}


def _messages(kafka: KafkaSettings, begins: Offsets, ends: Offsets) -> Iterator[Message]:
    """The messages of all partitions in the range. Raises KafkaUnavailableError."""
    left = {place for place, begin in begins.items() if begin < ends[place]}
    if not left:
        return
    errors = ClientErrors(kafka)
    config = kafka.consumer_config(ConsumerGroup.SESSIONS) | {
        "auto.offset.reset": "earliest",  # when what lay at the begin has expired
        "log_level": 0,
        "error_cb": errors,
    }
    with closing(connected(Consumer, kafka, config)) as consumer:
        consumer.assign([TopicPartition(topic, partition, begins[topic, partition]) for topic, partition in left])
        while left:
            found = consumer.consume(_CHUNK, ANSWER_SECONDS)
            if not found:
                raise errors.explain()
            for message in found:
                if message.error() is not None:
                    raise errors.explain(KafkaException(message.error()))
                place, offset = (message.topic(), message.partition()), message.offset()
                if offset < ends[place]:
                    yield message
                if offset >= ends[place] - 1:
                    left.discard(place)


def _decoded(message: Message, max_future: timedelta) -> BrowseEvent | None:
    """The message's event; None for what the stream refuses, too."""
    event = decode(Topic.BROWSE_EVENTS, message.key(), message.value(), message.timestamp()[1], max_future)
    return event if isinstance(event, BrowseEvent) else None


def _row(event: BrowseEvent) -> tuple[str | datetime | None, ...]:
    return (
        *(event.customer_id, event.session_id, event.event_id, event.event_time, event.event_type),
        *(event.product_id, event.device_id),
    )


def main() -> None:
    """Keep the browse events of sessions that ended in an alert.

    Example:
      python -m fraudstream.watch.alert_sessions
    """
    settings = load_settings()
    with connect(settings, settings.postgres.writer, name="alert_sessions", autocommit=True) as connection:
        alerts, events = keep(connection, settings)
    typer.echo(f"{alerts} alerts: {events} browse events kept")


if __name__ == "__main__":
    with told_in_one_line(psycopg.Error):
        typer.run(main)
