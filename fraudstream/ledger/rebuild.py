"""Starts the stream's state anew: profiles from the messages that Kafka still holds, and scoring from the ledger on.

For a checkpoint that is lost, damaged or of another time than the ledger, and for topics that lost messages. The next
start of the stream uses a new checkpoint and reads Kafka from its first message: what lies before the ledger's position
only rebuilds the customers' profiles, and what comes after it is scored. Nothing is counted twice.
"""

from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from fraudstream.errors import FraudstreamError
from fraudstream.ledger.gaps import Break, Cause, KafkaView, Position, breaks, positions

Postgres = Connection[Any]


class RebuildError(FraudstreamError):
    """The state can't be rebuilt as asked."""


@dataclass(frozen=True)
class Plan:
    """A rebuild that nobody has carried out yet: the ledger's positions beside Kafka's."""

    positions: list[Position]
    breaks: list[Break]
    view: KafkaView

    @property
    def waiting(self) -> int:
        """Messages that Kafka holds."""
        return sum(end - self.view.begins[place] for place, end in self.view.ends.items())

    @property
    def reread(self) -> int:
        """Messages that are read once more, for the profiles."""
        return sum(max(0, p.next_offset - self.view.begins.get(p.place, p.next_offset)) for p in self._whole)

    @property
    def forgotten(self) -> int:
        """Messages that went into profiles before, and that Kafka holds no more."""
        return sum(max(0, self.view.begins.get(p.place, p.next_offset) - p.first_offset) for p in self._whole)

    @property
    def exact(self) -> bool:
        """True when the profiles will be what they were."""
        return not self.breaks and not self.forgotten

    @property
    def _whole(self) -> list[Position]:
        broken = {b.position.place for b in self.breaks if b.cause is not Cause.EXPIRED}
        return [p for p in self.positions if p.place not in broken]


def plan(connection: Postgres, view: KafkaView) -> Plan:
    """Compares the ledger with Kafka, and changes nothing."""
    found = positions(connection)
    return Plan(found, list(breaks(found, view)), view)


def apply(connection: Postgres, query: str, planned: Plan) -> int:
    """Carries it out in one transaction, which also stops a driver that still runs. Returns the new generation.

    Raises RebuildError when the ledger moved since it was planned.
    """
    with connection.transaction():
        # An empty ledger is a new database beside an old checkpoint.
        connection.execute(
            "INSERT INTO fraud.stream_queries (query, epoch, driver, started_at, heartbeat_at) "
            "VALUES (%s, 0, 'fraudctl rebuild', now(), now()) ON CONFLICT DO NOTHING",
            (query,),
        )
        connection.execute("SELECT FROM fraud.stream_queries WHERE query = %s FOR UPDATE", (query,))
        if positions(connection) != planned.positions:
            raise RebuildError("the stream went on meanwhile: pause its Dag, mark the task failed, and rebuild then")
        for found in planned.breaks:
            if found.cause is Cause.EXPIRED:
                _give_up(connection, query, found, planned.view.begins[found.position.place])
            else:
                _retire(connection, query, found.position)
        resume = {p.place: p.next_offset for p in positions(connection)}
        row = connection.execute(
            """
            UPDATE fraud.stream_queries
            SET generation = greatest(generation + 1, extract(epoch FROM clock_timestamp())::bigint),
                epoch = epoch + 1, crashed_batch = NULL, crashes = 0, resume_offsets = %s, driver = 'fraudctl rebuild',
                first_batch = (SELECT coalesce(max(batch_id), -1) + 1 FROM fraud.stream_batches WHERE query = %s)
            WHERE query = %s RETURNING generation
            """,
            (Jsonb(_by_topic(resume)), query, query),
        ).fetchone()
    return int(row[0]) if row else 0


def forget_crashes(connection: Postgres, query: str) -> None:
    """Forgets that drivers died of the next batch: something else failed, or a person wants it tried again."""
    connection.execute("UPDATE fraud.stream_queries SET crashed_batch = NULL, crashes = 0 WHERE query = %s", (query,))


def _give_up(connection: Postgres, query: str, found: Break, begin: int) -> None:
    """Goes on where Kafka begins, and keeps which offsets were never read."""
    position = found.position
    connection.execute(
        "INSERT INTO fraud.stream_lost_ranges (query, topic, kafka_partition, from_offset, until_offset, reason) "
        "VALUES (%s, %s, %s, %s, %s, %s)",
        (query, *position.place, position.next_offset, begin, found.text),
    )
    connection.execute(
        "UPDATE fraud.stream_offsets SET next_offset = %s, lost = lost + %s - next_offset "
        "WHERE query = %s AND topic = %s AND kafka_partition = %s",
        (begin, begin, query, *position.place),
    )


def _retire(connection: Postgres, query: str, position: Position) -> None:
    """Renames what was read from a topic that was made anew: the new one counts its offsets from 0 again."""
    retired = f"{position.topic}@{position.topic_id or f'before-{position.next_offset}'}"
    place = {"query": query, "retired": retired, "topic": position.topic, "partition": position.partition}
    connection.execute(
        "UPDATE fraud.stream_offsets SET topic = %(retired)s "
        "WHERE query = %(query)s AND topic = %(topic)s AND kafka_partition = %(partition)s",
        place,
    )
    for table in ("dead_letters", "transaction_labels"):
        connection.execute(
            f"UPDATE fraud.{table} SET topic = %(retired)s "  # noqa: S608 (constants)
            "WHERE topic = %(topic)s AND kafka_partition = %(partition)s",
            place,
        )


def _by_topic(offsets: dict[tuple[str, int], int]) -> dict[str, dict[str, int]]:
    by_topic: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in offsets.items():
        by_topic.setdefault(topic, {})[str(partition)] = offset
    return by_topic
