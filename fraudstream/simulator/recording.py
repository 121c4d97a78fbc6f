"""Recordings: a history's folder, or a file with one JSON object a line, `{"topic": …, "key": …, "value": …}`."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudstream.errors import FraudstreamError
from fraudstream.messages.contracts import Topic, iso_milliseconds, utc_time
from fraudstream.simulator.columns import Array
from fraudstream.simulator.messages import Message, encode_table, time_column

_FOLDERS = {
    "browse_events": Topic.BROWSE_EVENTS,
    "transactions": Topic.TRANSACTIONS,
    "truth": Topic.SIMULATION_TRUTH,
    "labels": Topic.TRANSACTION_LABELS,
}
_BATCH_ROWS = 20_000


class RecordingError(FraudstreamError):
    """A recording can't be read."""


@dataclass(frozen=True)
class Retiming:
    """Moves `origin_ms` to `target_ms`, and the rest `speed` times closer to it; nothing beyond `latest_ms`."""

    origin_ms: float
    target_ms: float
    speed: float
    latest_ms: float = float("inf")

    def moved(self, time_ms: Array | int) -> Array:
        """The new times, ms since the epoch."""
        moved = self.target_ms + (np.asarray(time_ms) - self.origin_ms) / self.speed
        return np.minimum(moved, self.latest_ms).astype(np.int64)


class Recording(Protocol):
    """Messages that can be replayed. `first_ms` and `last_ms` are the times of its events (labels come later)."""

    first_ms: int
    last_ms: int
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
        bounds = [_bounds(part, time_column(topic)) for topic in events for part in self._parts[topic]]
        self.first_ms = min(first for first, _ in bounds)
        self.last_ms = max(last for _, last in bounds)

    def messages(self, retiming: Retiming | None) -> Iterator[Message]:
        """All topics, merged by time."""
        return heapq.merge(*(self._topic(topic, retiming) for topic in self._parts), key=lambda each: each.due_ms)

    def _topic(self, topic: Topic, retiming: Retiming | None) -> Iterator[Message]:
        for batch in self._batches(topic):
            table = pa.Table.from_batches([batch])
            yield from encode_table(topic, _retimed(table, time_column(topic), retiming) if retiming else table)

    def _batches(self, topic: Topic) -> Iterator[pa.RecordBatch]:
        if topic is Topic.TRANSACTION_LABELS:
            # Labels come days after their transactions, so that their parts overlap in time.
            table = pa.concat_tables([pq.read_table(part) for part in self._parts[topic]])
            yield from table.sort_by(time_column(topic)).to_batches(_BATCH_ROWS)
            return
        for part in self._parts[topic]:
            yield from pq.ParquetFile(part).iter_batches(_BATCH_ROWS)


def _bounds(part: Path, column: str) -> tuple[int, int]:
    bounds = pc.min_max(pq.read_table(part, columns=[column])[column].cast(pa.int64()))
    return bounds["min"].as_py(), bounds["max"].as_py()


def _retimed(table: pa.Table, column: str, retiming: Retiming) -> pa.Table:
    field = table.schema.get_field_index(column)
    times = pa.array(retiming.moved(table[column].cast(pa.int64()).to_numpy())).cast(table.schema.field(field).type)
    return table.set_column(field, column, times)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """A line. A string as `value` is sent as it is, so that broken messages can be recorded, too; the rest as JSON."""

    topic: str
    key: str | None
    value: Any

    @property
    def time_field(self) -> str:
        """The field that holds the event's time."""
        return "labelled_at" if self.topic == Topic.TRANSACTION_LABELS else "event_time"

    @property
    def time_ms(self) -> int | None:
        """The event's time, ms since the epoch, if it has one that can be read."""
        if not isinstance(self.value, dict):
            return None
        try:
            moment = msgspec.convert(self.value.get(self.time_field), type=datetime)
        except msgspec.ValidationError:
            return None
        return round(moment.timestamp() * 1000) if moment.tzinfo else None


class _Lines:
    """A file of messages. One without a readable time is sent together with the one before it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.topics = set()
        times = []
        for line in self._read():
            self.topics.add(line.topic)
            if line.time_ms is not None:
                times.append(line.time_ms)
        self.first_ms = min(times, default=0)
        self.last_ms = max(times, default=0)

    def messages(self, retiming: Retiming | None) -> Iterator[Message]:
        """In the order of the lines."""
        due_ms = self.first_ms if retiming is None else int(retiming.moved(self.first_ms))
        for line in self._read():
            if line.time_ms is not None:
                due_ms = line.time_ms if retiming is None else int(retiming.moved(line.time_ms))
                if retiming:
                    line.value[line.time_field] = iso_milliseconds(utc_time(due_ms))
            value = line.value.encode() if isinstance(line.value, str) else msgspec.json.encode(line.value)
            yield Message(due_ms, line.topic, None if line.key is None else line.key.encode(), value)

    def _read(self) -> Iterator[_Line]:
        with self._path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                if not text.strip():
                    continue
                try:
                    yield msgspec.json.decode(text, type=_Line)
                except msgspec.DecodeError as error:
                    raise RecordingError(f"--replay {self._path}, line {number}: {error}; see --help") from None
