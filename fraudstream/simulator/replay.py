"""Replays recorded events: a history, or a file of messages."""

import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudstream.contracts import Topic, iso_milliseconds
from fraudstream.errors import FraudstreamError
from fraudstream.simulator.messages import Message, encode_table, time_column
from fraudstream.simulator.progress import Progress
from fraudstream.simulator.publisher import Publisher

_FOLDERS = {
    "browse_events": Topic.BROWSE_EVENTS,
    "transactions": Topic.TRANSACTIONS,
    "truth": Topic.SIMULATION_TRUTH,
    "labels": Topic.TRANSACTION_LABELS,
}
_BATCH_ROWS = 20_000
_SERVE_EVERY = 500


class ReplayError(FraudstreamError):
    """A recording can't be read."""


class Recorded(msgspec.Struct, forbid_unknown_fields=True):
    """A line of a recording. A string as `value` is sent as it is; anything else as JSON."""

    topic: str
    key: str | None
    value: Any


@dataclass(frozen=True)
class Pace:
    """`speed`: 1 is the original pace, 10 ten times it, 0 as fast as possible. `shift`: whether times move to now."""

    speed: float = 1.0
    shift: bool = False


def recorded_topics(path: Path) -> set[str]:
    """The topics that a replay of `path` needs. Raises ReplayError when it isn't a recording."""
    if path.is_dir():
        return {str(topic) for name, topic in _FOLDERS.items() if _parts(path, name)}
    return {message.topic for message in _lines(path, 0)}


def recording(path: Path, shift_to_ms: int | None) -> Iterator[Message]:
    """The messages of a history's folder, or of a file of lines; the first is moved to `shift_to_ms` if that is given.

    Raises ReplayError when `path` is neither.
    """
    if not path.exists():
        raise ReplayError(f"--replay {path}: there is no such file or folder")
    if path.is_dir():
        parts = [name for name in _FOLDERS if _parts(path, name)]
        if not parts:
            raise ReplayError(f"--replay {path}: no {', '.join(_FOLDERS)} with part-*.parquet in it")
        shift_ms = 0 if shift_to_ms is None else shift_to_ms - min(_first_time(path, name) for name in parts)
        return heapq.merge(*(_rows(path, name, shift_ms) for name in parts), key=lambda message: message.due_ms)
    first = next((message.due_ms for message in _lines(path, 0) if message.due_ms), 0)
    return _lines(path, 0 if shift_to_ms is None else shift_to_ms - first)


def replay(
    path: Path, pace: Pace, publisher: Publisher, progress: Progress, stopped: Callable[[], bool], limit: int = 0
) -> int:
    """Sends the recording, `limit` messages at most (0: all), and returns how many. Raises ReplayError."""
    begun = time.time()
    first_ms: int | None = None
    sent = 0
    for message in recording(path, int(begun * 1000) if pace.shift else None):
        if first_ms is None and message.due_ms:
            first_ms = message.due_ms
        due = begun + (message.due_ms - first_ms) / 1000 / pace.speed if pace.speed and first_ms is not None else 0.0
        if due > time.time() or not sent % _SERVE_EVERY:
            _wait(due, publisher, progress, stopped)
        if stopped() or (limit and sent >= limit):
            break
        publisher.send(message)
        sent += 1
    return sent


def _wait(due: float, publisher: Publisher, progress: Progress, stopped: Callable[[], bool]) -> None:
    while True:
        publisher.serve()
        progress.tick()
        left = due - time.time()
        if left <= 0 or stopped():
            return
        time.sleep(min(left, 0.05))


def _parts(path: Path, name: str) -> list[Path]:
    return sorted((path / name).glob("part-*.parquet"))


def _first_time(path: Path, name: str) -> int:
    column = time_column(_FOLDERS[name])
    earliest = (pc.min(pq.read_table(part, columns=[column])[column]).as_py() for part in _parts(path, name))
    return min((round(moment.timestamp() * 1000) for moment in earliest if moment is not None), default=0)


def _rows(path: Path, name: str, shift_ms: int) -> Iterator[Message]:
    topic = _FOLDERS[name]
    # Labels come days after their transactions, so that only their parts overlap: those are read as a whole.
    if topic is Topic.TRANSACTION_LABELS:
        table = pa.concat_tables([pq.read_table(part) for part in _parts(path, name)]).sort_by(time_column(topic))
        batches = iter(table.to_batches(_BATCH_ROWS))
    else:
        batches = (batch for part in _parts(path, name) for batch in pq.ParquetFile(part).iter_batches(_BATCH_ROWS))
    for batch in batches:
        yield from encode_table(topic, _shifted(pa.Table.from_batches([batch]), time_column(topic), shift_ms))


def _shifted(table: pa.Table, column: str, shift_ms: int) -> pa.Table:
    if not shift_ms:
        return table
    moved = pc.add(table[column], pa.scalar(shift_ms, pa.duration("ms")))
    return table.set_column(table.schema.get_field_index(column), column, moved)


def _lines(path: Path, shift_ms: int) -> Iterator[Message]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _line(path, number, line, shift_ms)


def _line(path: Path, number: int, line: bytes, shift_ms: int) -> Message:
    try:
        recorded = msgspec.json.decode(line, type=Recorded)
    except msgspec.DecodeError as error:
        raise ReplayError(
            f'--replay {path}, line {number}: {error}; a line is {{"topic": …, "key": …, "value": …}}'
        ) from None
    key = None if recorded.key is None else recorded.key.encode()
    if isinstance(recorded.value, str):
        return Message(0, recorded.topic, key, recorded.value.encode())
    due_ms = 0
    name = "labelled_at" if recorded.topic == Topic.TRANSACTION_LABELS else "event_time"
    if isinstance(recorded.value, dict) and (moment := _moment(recorded.value.get(name))):
        due_ms = round(moment.timestamp() * 1000) + shift_ms
        if shift_ms:
            recorded.value[name] = iso_milliseconds(datetime.fromtimestamp(due_ms / 1000, moment.tzinfo))
    return Message(due_ms, recorded.topic, key, msgspec.json.encode(recorded.value))


def _moment(text: object) -> datetime | None:
    """The time that `text` tells, if it tells one: a recording may hold broken messages, too."""
    try:
        moment = msgspec.convert(text, type=datetime)
    except msgspec.ValidationError:
        return None
    return moment if moment.tzinfo else None
