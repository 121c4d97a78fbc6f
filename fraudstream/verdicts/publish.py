"""Sends analysts' verdicts as labels of source `analyst`: `python -m fraudstream.verdicts.publish`.

`fraud.analyst_verdicts` is an outbox: the desk writes a verdict, which can be undone for a minute, and is sent then.
Its label is the same to the byte whenever it is made, and the newest label of a transaction decides by its own time:
one that is sent twice, since a sender died before it had noted the first time, counts once. Senders lock the rows that
they send, and leave others' alone. A verdict that is `unsure` says nothing to anybody else, and isn't sent; nor is one
that a newer one replaced before it was due.

A run also waits for verdicts that become due within a minute. The Dag `publish_verdicts` starts one every minute, so
that each is sent when it is due.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import psycopg
import typer
from confluent_kafka import KafkaError, Message, Producer

from fraudstream import failpoints
from fraudstream.errors import FraudstreamError, told_in_one_line
from fraudstream.failpoints import Failpoint, reach
from fraudstream.kafka.errors import connected
from fraudstream.messages.contracts import Label, Topic, encode
from fraudstream.settings import Settings, load_settings
from fraudstream.settings.kafka import KafkaSettings, Role
from fraudstream.storage.connect import Postgres, connect
from fraudstream.storage.expressions import WAITING_VERDICTS

#: So many are locked, sent and noted at a time.
CHUNK = 500
#: A message that Kafka hasn't acknowledged within this time is given up until the next run.
SEND_SECONDS = 15
#: How long a run waits for what becomes due: as long as a verdict can be undone.
WAIT_SECONDS = 60.0

_DUE = f"""
SELECT verdict_id, transaction_id, verdict = 'fraud', decided_at {WAITING_VERDICTS} AND publish_after <= now()
ORDER BY publish_after, verdict_id LIMIT %s FOR UPDATE OF v SKIP LOCKED
"""
_PUBLISHED = "UPDATE fraud.analyst_verdicts SET published_at = now() WHERE verdict_id = ANY(%s)"
_SECONDS_TO_NEXT = f"""
SELECT extract(epoch FROM min(publish_after) - now())::float8 {WAITING_VERDICTS} AND publish_after > now()
"""  # noqa: S608 (constants)


class VerdictsNotSentError(FraudstreamError):
    """Kafka didn't acknowledge every label."""


class Verdict(NamedTuple):
    """A verdict that is due."""

    verdict_id: int
    transaction_id: str
    is_fraud: bool
    decided_at: datetime

    @property
    def label(self) -> bytes:
        """The Kafka value, the same whenever it is made."""
        return encode(
            Label(
                schema_version=1,
                transaction_id=self.transaction_id,
                is_fraud=self.is_fraud,
                source="analyst",
                labelled_at=self.decided_at.astimezone(UTC),
            )
        )


def publish_due(connection: Postgres, kafka: KafkaSettings) -> int:
    """Sends what is due, and returns how many. Raises VerdictsNotSentError, and what is left stays due."""
    sent = 0
    while chunk := _publish_chunk(connection, kafka):
        sent += chunk
    return sent


def publish(
    connection: Postgres, kafka: KafkaSettings, wait: float, sleep: Callable[[float], None] = time.sleep
) -> int:
    """The same, and what becomes due within `wait` seconds from now; returns how many."""
    until = time.monotonic() + wait
    sent = publish_due(connection, kafka)
    while (pause := _seconds_to_next(connection)) is not None and time.monotonic() + pause <= until:
        sleep(pause)
        sent += publish_due(connection, kafka)
    return sent


def _publish_chunk(connection: Postgres, kafka: KafkaSettings) -> int:
    with connection.transaction():
        due = [Verdict(*row) for row in connection.execute(_DUE, (CHUNK,))]
        if not due:
            return 0
        reach(Failpoint.BEFORE_VERDICT_SEND)
        acknowledged = _send(kafka, due)
        reach(Failpoint.AFTER_VERDICT_SEND)
        connection.execute(_PUBLISHED, (acknowledged,))
        reach(Failpoint.BEFORE_VERDICT_NOTE)
    if missing := len(due) - len(acknowledged):
        raise VerdictsNotSentError(
            f"Kafka at {kafka.bootstrap} didn't acknowledge {missing} of {len(due)} labels within {SEND_SECONDS} s: "
            "look at ./fraudctl status; the next run sends them"
        )
    return len(due)


def _send(kafka: KafkaSettings, due: Sequence[Verdict]) -> list[int]:
    """Sends a label a verdict; ids of the verdicts that Kafka acknowledged."""
    acknowledged: list[int] = []
    config: dict[str, Any] = kafka.producer_config() | {"message.timeout.ms": SEND_SECONDS * 1000, "log_level": 0}
    producer: Producer = connected(Producer, kafka, config)
    for verdict in due:

        def note(error: KafkaError | None, _: Message, verdict_id: int = verdict.verdict_id) -> None:
            if error is None:
                acknowledged.append(verdict_id)

        key = verdict.transaction_id.encode()
        producer.produce(Topic.TRANSACTION_LABELS, verdict.label, key, on_delivery=note)
        producer.poll(0)
        reach(Failpoint.DURING_VERDICT_SEND)
    producer.flush()  # ends by itself: each message is acknowledged or given up
    return acknowledged


def _seconds_to_next(connection: Postgres) -> float | None:
    row = connection.execute(_SECONDS_TO_NEXT).fetchone()
    return row[0] if row else None


def sender(settings: Settings) -> KafkaSettings:
    """Kafka's settings with the account that may write inputs: the one that replays dead letters."""
    return settings.kafka.as_role(Role.REPLAY)


def main(
    wait: Annotated[
        float, typer.Option(min=0, help="also send what becomes due within so many seconds")
    ] = WAIT_SECONDS,
) -> None:
    """Send analysts' verdicts as labels.

    Example:
      python -m fraudstream.verdicts.publish --wait=0
    """
    settings = load_settings()
    failpoints.arm(settings.stream.failpoints)
    with connect(settings, settings.postgres.writer, name="publish_verdicts", autocommit=True) as connection:
        sent = publish(connection, sender(settings), wait)
    typer.echo(f"{sent} verdicts sent as labels")


if __name__ == "__main__":
    with told_in_one_line(psycopg.Error):
        typer.run(main)
