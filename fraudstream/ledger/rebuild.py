"""Starts the stream's state anew: profiles from a snapshot and from Kafka, and scoring from the ledger on.

For a checkpoint that is lost, damaged or of another time than the ledger, and for topics that lost messages. The next
start of the stream uses a new checkpoint. It begins with the profiles of the newest usable snapshot and reads Kafka
from that one's offsets, or else with no profile and Kafka's first message: what lies before the ledger's position only
brings the customers' profiles up to date, and what comes after it is scored. Nothing is counted twice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from fraudstream.errors import FraudstreamError
from fraudstream.ledger.gaps import Break, Cause, KafkaView, Position, breaks, positions
from fraudstream.snapshots.folders import Skipped, Snapshot
from fraudstream.snapshots.manifest import Manifest, Moment, Place, by_topic

Postgres = Connection[Any]
#: Finds the newest usable snapshot, given what says why one doesn't fit: `folders.newest_usable` of a folder.
Find = Callable[[Callable[[Manifest], str | None]], tuple[Snapshot | None, list[Skipped]]]


class RebuildError(FraudstreamError):
    """The state can't be rebuilt as asked."""


@dataclass(frozen=True)
class Plan:
    """A rebuild that nobody has carried out yet: the ledger's positions beside Kafka's."""

    positions: list[Position]
    breaks: list[Break]
    view: KafkaView
    snapshot: Snapshot | None = None  # what it begins with
    skipped: Sequence[Skipped] = ()  # newer ones that can't be used
    forsaken: str | None = None  # the snapshot that the profiles of now began with, when nothing replaces it
    continues: bool = True  # whether the profiles of now were made of what it begins with

    @property
    def waiting(self) -> int:
        """Messages that Kafka holds."""
        return sum(end - self.view.begins[place] for place, end in self.view.ends.items())

    @property
    def reread(self) -> int:
        """Messages that are read once more, for the profiles."""
        starts = reading_starts(self.view, self._moment)
        return sum(max(0, p.next_offset - starts.get(p.place, p.next_offset)) for p in self._whole)

    @property
    def forgotten(self) -> int:
        """Messages that went into profiles before, aren't in the snapshot, and that Kafka holds no more."""
        reached = still_valid(self.view, self._moment)
        return sum(
            max(0, self.view.begins.get(p.place, p.next_offset) - reached.get(p.place, p.first_offset))
            for p in self._whole
        )

    @property
    def exact(self) -> bool:
        """True when the profiles will be what they were."""
        return not self.breaks and not self.forgotten and self.continues

    @property
    def _moment(self) -> Moment | None:
        return self.snapshot.manifest.moment if self.snapshot else None

    @property
    def _whole(self) -> list[Position]:
        broken = {b.position.place for b in self.breaks if b.cause is not Cause.EXPIRED}
        return [p for p in self.positions if p.place not in broken]


def plan(connection: Postgres, view: KafkaView, find: Find | None = None) -> Plan:
    """Compares the ledger with Kafka and the snapshots that `find` finds (None: with none), and changes nothing."""
    reached = positions(connection)
    snapshot, skipped = find(lambda manifest: _too_new(manifest.moment, reached, view)) if find else (None, [])
    generation, begun_with = _beginning(connection)
    if snapshot:
        moment = snapshot.manifest.moment
        is_of_now = moment.generation == generation and still_valid(view, moment) == moment.reached
        forsaken, continues = None, is_of_now or snapshot.name == begun_with
    else:
        forsaken, continues = begun_with, begun_with is None
    return Plan(reached, list(breaks(reached, view)), view, snapshot, skipped, forsaken, continues)


def reading_starts(view: KafkaView, moment: Moment | None) -> dict[Place, int]:
    """The first offset of each partition that a checkpoint reads which begins with the profiles of `moment`."""
    reached = still_valid(view, moment)
    return {place: max(begin, reached.get(place, begin)) for place, begin in view.begins.items()}


def still_valid(view: KafkaView, moment: Moment | None) -> dict[Place, int]:
    """The offsets of `moment` in topics that are still the same ones: one that was made anew begins at 0 again."""
    if moment is None:
        return {}
    return {
        (topic, partition): offset
        for (topic, partition), offset in moment.reached.items()
        if _is_same(view.ids.get(topic), moment.topic_ids.get(topic))
        and offset <= view.ends.get((topic, partition), offset)
    }


def _too_new(moment: Moment, reached: Sequence[Position], view: KafkaView) -> str | None:
    """Why the profiles of `moment` don't fit the ledger: they have messages in them that it is going to score."""
    ledger = {p.place: p.next_offset for p in reached}
    for place, offset in still_valid(view, moment).items():
        position = ledger.get(place, view.begins.get(place, offset))
        if offset > position:
            return (
                f"is newer than the ledger: it has messages of {place[0]}/{place[1]} until offset {offset}, which "
                f"are scored from {position} on"
            )
    return None


def _is_same(now: str | None, then: str | None) -> bool:
    """Whether a topic is the one that was read; a broker may not tell ids."""
    return None in (now, then) or now == then


def _beginning(connection: Postgres) -> tuple[int, str | None]:
    """The generation of the checkpoint of now, and the snapshot that it began with."""
    row = connection.execute("SELECT generation, snapshot FROM fraud.stream_queries").fetchone()
    return (int(row[0]), row[1]) if row else (0, None)


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
                snapshot = %s,
                first_batch = (SELECT coalesce(max(batch_id), -1) + 1 FROM fraud.stream_batches WHERE query = %s)
            WHERE query = %s RETURNING generation
            """,
            (Jsonb(_as_json(resume)), planned.snapshot.name if planned.snapshot else None, query, query),
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


def _as_json(offsets: Mapping[Place, int]) -> dict[str, dict[str, int]]:
    """`{topic: {partition: offset}}`, with JSON's keys."""
    return {topic: {str(number): at for number, at in of.items()} for topic, of in by_topic(offsets).items()}
