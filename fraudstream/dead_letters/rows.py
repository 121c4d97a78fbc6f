"""The rows of `fraud.dead_letters` as a replay sees them: chosen, claimed, confirmed or released."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from fraudstream.errors import FraudstreamError
from fraudstream.kafka.offsets import Offsets
from fraudstream.settings import Settings
from fraudstream.storage import pooler
from fraudstream.storage.connect import connect

#: Held while a replay runs; any number, the same everywhere.
_LOCK = 0x5265_706C
# A killed replay's session, and its lock with it, ends within this time, though a statement of it waits.
_NOTICE_DEATH = {"client_connection_check_interval": "1s"}


class ReplayError(FraudstreamError):
    """Dead letters can't be sent again, or not all of them."""


class Place(NamedTuple):
    """A message's place in Kafka."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """From such as `transactions/0/17`. Raises ReplayError."""
        topic, _, rest = text.partition("/")
        partition, _, offset = rest.partition("/")
        if not (partition.isdecimal() and offset.isdecimal()):
            raise ReplayError(f"no message {text!r}: write TOPIC/PARTITION/OFFSET, such as transactions/0/17")
        return cls(topic, int(partition), int(offset))


@dataclass(frozen=True)
class Selection:
    """Which dead letters: all conditions that are given hold, of those that weren't replayed unless `again`.

    `since` and `until` are about Kafka's clock, when the message arrived.
    """

    reasons: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    place: Place | None = None
    limit: int = 1000
    again: bool = False


class Chosen(NamedTuple):
    """A dead letter that was chosen."""

    place: Place
    reason: str


class Claimed(NamedTuple):
    """A claimed dead letter: it isn't in its partition before offset `start`."""

    place: Place
    start: int


class Letter(NamedTuple):
    """A dead letter as it is sent again."""

    place: Place
    key: bytes | None
    value: bytes | None


_PLACE = "topic, kafka_partition, kafka_offset"
_CHOSEN = """
    (cardinality(%(reasons)s::text[]) = 0 OR reason = ANY(%(reasons)s))
    AND (%(since)s::timestamptz IS NULL OR ingest_time >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR ingest_time < %(until)s)
    AND (%(topic)s::text IS NULL
         OR (topic, kafka_partition, kafka_offset) = (%(topic)s, %(partition)s::int, %(offset)s::bigint))
    AND (replayed_at IS NULL OR %(again)s)
"""
_CHOOSE = f"""
    SELECT {_PLACE}, reason FROM fraud.dead_letters WHERE {_CHOSEN} AND NOT redacted
    ORDER BY ingest_time, {_PLACE} LIMIT %(limit)s
"""  # noqa: S608 (constants)
_REDACTED = f"SELECT {_PLACE}, reason FROM fraud.dead_letters WHERE {_CHOSEN} AND redacted"  # noqa: S608 (constants)
_INTERRUPTED = "replay_claimed_at IS NOT NULL AND replayed_at IS NULL"
_CLAIMED = f"""
    SELECT {_PLACE}, replay_from FROM fraud.dead_letters WHERE {_INTERRUPTED} ORDER BY {_PLACE}
"""  # noqa: S608 (constants)
_YOUNGEST = f"""
    SELECT extract(epoch FROM clock_timestamp() - max(replay_claimed_at))::float8 FROM fraud.dead_letters
    WHERE {_INTERRUPTED}
"""  # noqa: S608 (constants)
_GIVEN = """
    FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[], %(numbers)s::bigint[])
        AS given (topic, kafka_partition, kafka_offset, number)
    WHERE (d.topic, d.kafka_partition, d.kafka_offset) = (given.topic, given.kafka_partition, given.kafka_offset)
"""
_CLAIM = f"""
    UPDATE fraud.dead_letters AS d
    SET replay_claimed_at = clock_timestamp(), replay_from = number, replayed_at = NULL, replayed_offset = NULL
    {_GIVEN} RETURNING d.topic, d.kafka_partition, d.kafka_offset, d.key, d.payload
"""  # noqa: S608 (constants)
_CONFIRM = f"""
    UPDATE fraud.dead_letters AS d SET replayed_at = clock_timestamp(), replayed_offset = number {_GIVEN}
"""  # noqa: S608 (constants)
_RELEASE = f"""
    UPDATE fraud.dead_letters SET replay_claimed_at = NULL, replay_from = NULL WHERE {_INTERRUPTED}
"""  # noqa: S608 (constants)


class DeadLetterRows(AbstractContextManager["DeadLetterRows"]):
    """A connection that holds the lock of replays. Each statement is committed by itself."""

    def __init__(self, settings: Settings) -> None:
        """Connects. Raises ReplayError while another replay runs, PostgresUnavailableError, TransactionPoolerError."""
        pooler.refuse(settings, settings.postgres.writer)
        self._connection = connect(
            settings, settings.postgres.writer, name="replay_dead_letters", autocommit=True, begins_with=_NOTICE_DEATH
        )
        if not self._value("SELECT pg_try_advisory_lock(%s)", (_LOCK,)):
            self._connection.close()
            raise ReplayError("another replay of dead letters is running: wait for its end, and run this again")

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def choose(self, selection: Selection) -> list[Chosen]:
        """Those that can be sent, oldest first, at most `selection.limit`."""
        return [Chosen(Place(*row[:3]), row[3]) for row in self._rows(_CHOOSE, _conditions(selection))]

    def redacted(self, selection: Selection) -> list[Chosen]:
        """Those that can't, since their key or payload isn't whole."""
        return [Chosen(Place(*row[:3]), row[3]) for row in self._rows(_REDACTED, _conditions(selection))]

    def claimed(self) -> list[Claimed]:
        """Those that an interrupted replay claimed and didn't confirm."""
        return [Claimed(Place(*row[:3]), row[3]) for row in self._rows(_CLAIMED)]

    def youngest_claim_s(self) -> float:
        """The age of the newest unconfirmed claim in seconds, by Postgres' clock; infinite without one."""
        age = self._value(_YOUNGEST)
        return float("inf") if age is None else float(age)

    def claim(self, places: Sequence[Place], ends: Offsets) -> list[Letter]:
        """Claims rows, with the ends of their partitions, and returns what to send, in the order of `places`."""
        starts = [ends[place.topic, place.partition] for place in places]
        rows = self._rows(_CLAIM, _given(places, starts))
        letters = {Place(*row[:3]): Letter(Place(*row[:3]), *row[3:]) for row in rows}
        return [letters[place] for place in places if place in letters]

    def confirm(self, sent: Mapping[Place, int]) -> None:
        """Notes the offset that each of these got in its partition."""
        if sent:
            self._connection.execute(_CONFIRM, _given(list(sent), list(sent.values())))

    def release(self) -> None:
        """Gives up all claims that aren't confirmed."""
        self._connection.execute(_RELEASE)

    def _rows(self, query: str, parameters: Any = None) -> list[Any]:
        return self._connection.execute(query, parameters).fetchall()

    def _value(self, query: str, parameters: Any = None) -> Any:
        row = self._connection.execute(query, parameters).fetchone()
        return row[0] if row else None


def _conditions(selection: Selection) -> dict[str, Any]:
    topic, partition, offset = selection.place or (None, None, None)
    return {
        "reasons": list(selection.reasons),
        "since": selection.since,
        "until": selection.until,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "again": selection.again,
        "limit": selection.limit,
    }


def _given(places: Sequence[Place], numbers: Sequence[int]) -> dict[str, Any]:
    return {
        "topics": [place.topic for place in places],
        "partitions": [place.partition for place in places],
        "offsets": [place.offset for place in places],
        "numbers": list(numbers),
    }
