"""Recordings: a history's folder, or a file with one JSON object a line, `{"topic": …, "key": …, "value": …}`."""

import codecs
import gzip
import heapq
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraudstream.errors import FraudstreamError
from fraudstream.files import encoding_by_mark
from fraudstream.messages.contracts import Topic, iso_milliseconds, utc_time
from fraudstream.simulator.columns import Array
from fraudstream.simulator.messages import MAX_SENT_BYTES, Message, encode_table, time_column

_FOLDERS = {
    "browse_events": Topic.BROWSE_EVENTS,
    "transactions": Topic.TRANSACTIONS,
    "truth": Topic.SIMULATION_TRUTH,
    "labels": Topic.TRANSACTION_LABELS,
}
_BATCH_ROWS = 20_000
_TIME = pa.timestamp("ms", "UTC")
#: Times outside are placeholders, such as 9999-12-31: no pace is taken from them, and they aren't moved.
_USABLE_MS = (946_684_800_000, 4_102_444_800_000)
TOLD_YEARS = "2000 to 2099"


class RecordingError(FraudstreamError):
    """A recording can't be read."""


def usable_times(time_ms: Array | int) -> Array:
    """Whether times, ms since the epoch, are of the years that a shop can have had; bool [n], or [] for one."""
    times = np.asarray(time_ms)
    usable: Array = (times >= _USABLE_MS[0]) & (times < _USABLE_MS[1])
    return usable


@dataclass(frozen=True)
class Retiming:
    """Moves `origin_ms` to `target_ms`, and the rest `speed` times closer to it; nothing beyond `latest_ms`."""

    origin_ms: float
    target_ms: float
    speed: float
    latest_ms: float = float("inf")

    def moved(self, time_ms: Array | int) -> Array:
        """The new times, ms since the epoch; placeholders stay."""
        times = np.asarray(time_ms)
        moved = np.minimum(self.target_ms + (times - self.origin_ms) / self.speed, self.latest_ms)
        return np.where(usable_times(times), moved, times).astype(np.int64)


class Recording(Protocol):
    """Messages that can be replayed. `first_ms` and `last_ms` are the times of its events (labels come later).

    `placeholders` counts the events whose time is none of these.
    """

    first_ms: int
    last_ms: int
    placeholders: int
    topics: set[str]

    def messages(self, retiming: Retiming | None) -> Iterator[Message]:
        """The messages, in the order of their times, or of the file's lines."""
        ...


def open_recording(path: Path) -> Recording:
    """Raises RecordingError when `path` isn't a recording."""
    if not path.exists():
        raise RecordingError(f"--replay {path}: there is no such file or folder")
    return _History(path) if path.is_dir() else _Lines(path)


class _History:
    """The Parquet files that `produce --out` writes."""

    def __init__(self, path: Path) -> None:
        self._parts = {
            topic: parts for name, topic in _FOLDERS.items() if (parts := sorted((path / name).glob("part-*.parquet")))
        }
        events = [topic for topic in self._parts if topic is not Topic.TRANSACTION_LABELS]
        if not events:
            raise RecordingError(f"--replay {path}: it has no browse_events, transactions or truth/part-*.parquet")
        self.topics = {str(topic) for topic in self._parts}
        times = [_times(part, time_column(topic)) for topic in events for part in self._parts[topic]]
        usable = [part[usable_times(part)] for part in times]
        self.placeholders = sum(map(len, times)) - sum(map(len, usable))
        self.first_ms = min((int(part.min()) for part in usable if len(part)), default=0)
        self.last_ms = max((int(part.max()) for part in usable if len(part)), default=0)

    def messages(self, retiming: Retiming | None) -> Iterator[Message]:
        """All topics, merged by time."""
        return heapq.merge(*(self._topic(topic, retiming) for topic in self._parts), key=lambda each: each.due_ms)

    def _topic(self, topic: Topic, retiming: Retiming | None) -> Iterator[Message]:
        due_ms = self.first_ms if retiming is None else int(retiming.moved(self.first_ms))
        for batch in self._batches(topic):
            table = pa.Table.from_batches([batch])
            for message in encode_table(topic, _retimed(table, time_column(topic), retiming) if retiming else table):
                due_ms = message.due_ms if usable_times(message.due_ms) else due_ms
                yield message._replace(due_ms=due_ms)

    def _batches(self, topic: Topic) -> Iterator[pa.RecordBatch]:
        if topic is Topic.TRANSACTION_LABELS:
            # Labels come days after their transactions, so that their parts overlap in time.
            table = pa.concat_tables([pq.read_table(part) for part in self._parts[topic]])
            yield from table.sort_by(time_column(topic)).to_batches(_BATCH_ROWS)
            return
        for part in self._parts[topic]:
            yield from pq.ParquetFile(part).iter_batches(_BATCH_ROWS)


def _times(part: Path, column: str) -> Array:
    """The times of a part, ms since the epoch. Raises RecordingError when it has none that can be used."""
    try:
        times = pq.read_table(part, columns=[column])[column]
        if not pa.types.is_timestamp(times.type) or times.null_count:
            raise RecordingError(f"--replay {part}: {column} must be a timestamp in every row, not {times.type}")
        return _milliseconds(times)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise RecordingError(f"--replay {part} can't be read: {error}") from error


def _milliseconds(times: pa.ChunkedArray) -> Array:
    milliseconds: Array = times.cast(_TIME, safe=False).cast(pa.int64()).to_numpy()
    return milliseconds


def _retimed(table: pa.Table, column: str, retiming: Retiming) -> pa.Table:
    field = table.schema.get_field_index(column)
    times = pa.array(retiming.moved(_milliseconds(table[column])), pa.int64()).cast(_TIME)
    return table.set_column(field, column, times)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """A line. A string as `value` is sent without its quotes, so that broken messages can be recorded, too.

    All else is sent byte by byte as it was recorded, but for the time, when that is moved.
    """

    topic: str
    key: str | None
    value: msgspec.Raw

    @property
    def time_field(self) -> str:
        """The field that holds the event's time."""
        return "labelled_at" if self.topic == Topic.TRANSACTION_LABELS else "event_time"

    @property
    def time_ms(self) -> int | None:
        """The event's time, ms since the epoch, if it has one that can be read; maybe a placeholder."""
        try:
            moment = msgspec.json.decode(self._fields()[self.time_field], type=datetime)
        except (msgspec.DecodeError, KeyError):
            return None
        return round(moment.timestamp() * 1000) if moment.tzinfo else None

    def payload(self, moved_ms: int | None) -> bytes:
        """The message's value, with another time if one is given."""
        if moved_ms is not None:
            time = iso_milliseconds(utc_time(moved_ms))
            return msgspec.json.encode(self._fields() | {self.time_field: time})
        value = bytes(self.value)
        return msgspec.json.decode(value, type=str).encode() if value.startswith(b'"') else value

    def _fields(self) -> dict[str, msgspec.Raw]:
        return msgspec.json.decode(self.value, type=dict[str, msgspec.Raw])


class _Lines:
    """A file of messages. One without a usable time is sent together with the one before it.

    All lines are read once before the first is sent, so that a bad one is refused while nothing has happened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.topics = set()
        self.placeholders = 0
        times = []
        for line in self._read():
            self.topics.add(line.topic)
            if (time_ms := line.time_ms) is None:
                continue
            if usable_times(time_ms):
                times.append(time_ms)
            else:
                self.placeholders += 1
        self.first_ms = min(times, default=0)
        self.last_ms = max(times, default=0)

    def messages(self, retiming: Retiming | None) -> Iterator[Message]:
        """In the order of the lines."""
        due_ms = self.first_ms if retiming is None else int(retiming.moved(self.first_ms))
        for line in self._read():
            moved_ms = None
            if (time_ms := line.time_ms) is not None and usable_times(time_ms):
                due_ms = time_ms if retiming is None else int(retiming.moved(time_ms))
                moved_ms = due_ms if retiming else None
            key = None if line.key is None else line.key.encode()
            yield Message(due_ms, line.topic, key, line.payload(moved_ms))

    def _read(self) -> Iterator[_Line]:
        try:
            for number, text in enumerate(self._texts(), start=1):
                if text.strip():
                    yield self._parsed(number, text)
        except (OSError, EOFError, zlib.error, UnicodeError) as error:
            raise RecordingError(f"--replay {self._path} can't be read: {error}") from error

    def _texts(self) -> Iterator[bytes]:
        """The lines in UTF-8, from a file in that or, by its byte order mark, in another encoding; zipped or not."""
        with gzip.open(self._path) if self._path.suffix == ".gz" else self._path.open("rb") as file:
            encoding = encoding_by_mark(file.peek(4)[:4])
            if encoding in {None, "utf-8-sig"}:
                yield from (text.removeprefix(codecs.BOM_UTF8) for text in file)
            else:
                yield from (text.encode() for text in io.TextIOWrapper(file, encoding, newline="\n"))

    def _parsed(self, number: int, text: bytes) -> _Line:
        where = f"--replay {self._path}, line {number}"
        try:
            text.decode()
            line = msgspec.json.decode(text, type=_Line)
        except UnicodeDecodeError as error:
            raise RecordingError(
                f"{where}, byte {error.start + 1}: 0x{text[error.start]:02x} is not UTF-8, which JSON is: convert the "
                "file, such as with iconv -f LATIN1 -t UTF-8"
            ) from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise RecordingError(f"{where}: {error}; see --help") from None
        size = len(line.key or "") + len(line.value)
        if size > MAX_SENT_BYTES:
            raise RecordingError(
                f"{where}: a message of {size:,} bytes, and Kafka takes {MAX_SENT_BYTES:,}: take the line out"
            )
        return line
