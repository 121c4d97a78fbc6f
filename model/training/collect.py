"""Collects a history from what Kafka and Postgres hold now, to train on: `python -m model.training.collect --hours 6`.

It has the same files as a simulated one: browsing events, transactions and labels as Kafka retains them, customers,
products and exchange rates as in Postgres, and the simulation's truth where there is one. What the stream refuses is
left out here, too.
The folder `warm_up` in it has what Kafka retains from before, and the past that was imported, if one was: profiles and
entity risk begin with that, as the stream's do. Where the archive covers the time (docs/archive.md), and nothing of a
warm-up is asked for, the features are those that were served, and no browsing event is read. Otherwise all events of
the hours asked for are held in memory while they are sorted: about 1 GB for 5 million. Those of the warm-up are sorted
a million at a time.
"""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fraudstream.archive import reading
from fraudstream.errors import FraudstreamError, told_in_one_line
from fraudstream.kafka import access as kafka_access
from fraudstream.kafka.acls import ConsumerGroup
from fraudstream.kafka.errors import ClientErrors, connected
from fraudstream.messages.contracts import (
    INPUT_TOPICS,
    TYPED_TIME_FORMATS,
    BrowseEvent,
    Label,
    SimulationTruth,
    Topic,
    Transaction,
)
from fraudstream.messages.mapping.live import event_of, live_decoder
from fraudstream.messages.mapping.sources import read_sources
from fraudstream.messages.refusal import Rejection
from fraudstream.messages.validation import bounded, decode
from fraudstream.settings import Settings, load_settings
from fraudstream.settings.kafka import KafkaSettings, Role
from fraudstream.static_data.currencies import COLUMNS
from fraudstream.storage.connect import PostgresUnavailableError, session
from model.features.static import CUSTOMER_COLUMNS, PRODUCT_COLUMNS
from model.training.history import COLUMN_TYPES, RATES_FILE, WARM_UP, WARM_UP_DATASETS, HistoryFolder
from model.training.served import served_period, write_served

console = Console(stderr=True)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_EXAMPLES = """
Examples:

  python -m model.training.collect --hours 6

  python -m model.training.collect --hours 24 --out var/history-of-today

  python -m model.training.collect --hours 168 --as-of 2026-11-04T12:00:00Z

  python -m model.training.collect --existing var/history
"""
_RATES = pa.schema([("currency", pa.string()), ("valid_from", pa.date32()), ("rate", pa.float64())])
#: Each dataset's topic, schema and the column that it is sorted by.
_DATASETS: dict[str, tuple[Topic, type[msgspec.Struct], str]] = {
    "browse_events": (Topic.BROWSE_EVENTS, BrowseEvent, "event_time"),
    "transactions": (Topic.TRANSACTIONS, Transaction, "event_time"),
    "labels": (Topic.TRANSACTION_LABELS, Label, "labelled_at"),
    "truth": (Topic.SIMULATION_TRUTH, SimulationTruth, "event_time"),
}
_decode_truth = msgspec.json.Decoder(SimulationTruth).decode
_PAST = "SELECT folder FROM fraud.history_imports"
_MESSAGES = 10_000  # read at a time, at most
_POLL_SECONDS = 0.2  # librdkafka waits so long for the last ones of them
_CHUNK_ROWS = 100_000
_PART_ROWS = 1_000_000
_GROUP_ROWS = 20_000
_TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True)
class Period:
    """A period of append times, ms since the epoch: [since, until); None: until now."""

    since_ms: int
    until_ms: int | None = None


class CollectError(FraudstreamError):
    """A history can't be collected; the message says what is missing."""


def collect(settings: Settings, hours: float, out: Path, warm_up_hours: float | None = None) -> dict[str, int]:
    """Writes the last `hours` as a history in the folder `out`, which it replaces. Returns each dataset's rows.

    What was appended in `warm_up_hours` before goes to the folder `warm_up` in it; None: all that Kafka retains, and
    the past that was imported.

    Raises CollectError when Kafka or Postgres can't be read, or when Kafka holds no transaction or label of that time.
    """
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    start_ms = round((time.time() - timedelta(hours=hours).total_seconds()) * 1000)
    warm_up_ms = 0 if warm_up_hours is None else start_ms - round(warm_up_hours * 3_600_000)
    kafka_access.check(settings.kafka, Role.READER, _TIMEOUT_SECONDS)
    try:
        _write_static(settings, fresh)
        rows = {name: _write_dataset(settings, name, Period(start_ms), fresh) for name in _DATASETS}
        for name in ("transactions", "labels"):
            if not rows[name]:
                raise CollectError(
                    f"Kafka's topic {_DATASETS[name][0]} holds nothing of the last {hours:g} h: is the platform up, "
                    "and has the shop been sending? Ask ./fraudctl status"
                )
        before = Period(max(warm_up_ms, 0), start_ms)
        for name in WARM_UP_DATASETS:
            rows[f"{name} before"] = _write_warm_up(settings, name, before, fresh / WARM_UP)
        if warm_up_hours is None:
            _begin_with_past(settings, fresh)
        shutil.rmtree(out, ignore_errors=True)
        fresh.rename(out)
    except KafkaException as error:
        raise ClientErrors(_account(settings)).explain(error) from error
    except PostgresUnavailableError:
        raise
    except psycopg.Error as error:
        raise CollectError(f"Postgres can't be read: {error}; run ./fraudctl up") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return rows


def collect_served(
    settings: Settings, period: reading.Period, out: Path, labelled_by: datetime | None = None
) -> dict[str, int]:
    """Writes what was served in `period`, from the archive, as a history in the folder `out`, which it replaces.

    With the labels that were made by `labelled_by`; None: all of now. On the simulator with the truth, where Kafka got
    that in `period`. Raises CollectError, ArchiveError or KafkaUnavailableError.
    """
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        rows = write_served(settings, period, fresh, labelled_by)
        milliseconds = (round(moment.timestamp() * 1000) for moment in (period.since, period.until))
        rows["truth"] = _write_dataset(settings, "truth", Period(*milliseconds), fresh)
        shutil.rmtree(out, ignore_errors=True)
        fresh.rename(out)
    except KafkaException as error:
        raise ClientErrors(_account(settings)).explain(error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return rows


def _write_static(settings: Settings, out: Path) -> None:
    with session(settings, settings.postgres.reader, name="training_collect") as connection:
        for table, columns in (("customers", CUSTOMER_COLUMNS), ("products", PRODUCT_COLUMNS)):
            rows = connection.execute(f"SELECT {', '.join(columns)} FROM fraud.{table}").fetchall()  # noqa: S608
            if not rows:
                raise CollectError(f"fraud.{table} is empty: run the Dag refresh_static_data")
            values = dict(zip(columns, zip(*rows, strict=True), strict=True))
            if "list_price" in values:
                values["list_price"] = tuple(map(float, values["list_price"]))
            pq.write_table(pa.table({name: list(column) for name, column in values.items()}), out / f"{table}.parquet")
        found = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM fraud.currency_rates").fetchall()  # noqa: S608
    rates = [dict(zip(COLUMNS, (*line, float(rate)), strict=True)) for *line, rate in found]
    pq.write_table(pa.Table.from_pylist(rates, _RATES), out / RATES_FILE)


def _write_dataset(settings: Settings, name: str, period: Period, out: Path) -> int:
    """Reads a topic, sorts its events by time and writes them; a folder only when there are any."""
    topic, schema, sorted_by = _DATASETS[name]
    chunks = list(_tables(_events(settings, topic, period), schema))
    if not chunks:
        return 0
    table = pa.concat_tables(chunks).sort_by(sorted_by)
    (out / name).mkdir()
    for number, start in enumerate(range(0, len(table), _PART_ROWS)):
        pq.write_table(table.slice(start, _PART_ROWS), out / name / f"part-{number:05d}.parquet")
    return len(table)


def _write_warm_up(settings: Settings, name: str, period: Period, out: Path) -> int:
    """As `_write_dataset`, but a part is sorted by itself, so that a week needs no more memory than an hour."""
    topic, schema, sorted_by = _DATASETS[name]
    chunks = _tables(_events(settings, topic, period), schema)
    rows = 0
    for number in count():
        if not (part := list(islice(chunks, _PART_ROWS // _CHUNK_ROWS))):
            return rows
        table = pa.concat_tables(part).sort_by(sorted_by)
        (out / name).mkdir(parents=True, exist_ok=True)
        # All parts are read at the same time, one group of rows of each.
        pq.write_table(table, out / name / f"part-{number:05d}.parquet", row_group_size=_GROUP_ROWS)
        rows += len(table)
    return rows


def _begin_with_past(settings: Settings, out: Path) -> None:
    """Begins with the past that was imported, where this machine still has its files."""
    with session(settings, settings.postgres.reader, name="training_collect") as connection:
        for (folder,) in connection.execute(_PAST):
            past = HistoryFolder(Path(folder))
            if past.has("transactions"):
                HistoryFolder(out).begin_with(past)
                console.print(f"begins with the past in {folder}")
            else:
                console.print(f"the past in {folder} is gone: profiles begin with what Kafka retains")


def _tables(events: Iterator[Any], schema: type[msgspec.Struct]) -> Iterator[pa.Table]:
    """Events as Arrow tables, without their schema_version."""
    fields = pa.schema(
        [(name, COLUMN_TYPES.get(name, pa.string())) for name in schema.__struct_fields__ if name != "schema_version"]
    )
    while chunk := list(islice(events, _CHUNK_ROWS)):
        columns = {name: [getattr(event, name) for event in chunk] for name in fields.names}
        if "items" in columns:
            columns["items"] = msgspec.to_builtins(columns["items"])
        yield pa.table(columns, fields)


def _events(settings: Settings, topic: Topic, period: Period) -> Iterator[Any]:
    """The events of `topic` that Kafka appended in `period`, those that the stream accepts.

    With those of the shops' own topics of the same kind.
    """
    max_future, now_ms = timedelta(seconds=settings.stream.max_future_seconds), round(time.time() * 1000)
    for message in retained_messages(settings, topic, period):
        value = message.value()
        if topic in INPUT_TOPICS:
            event = decode(topic, message.key(), value, bounded(message.timestamp()[1], now_ms), max_future)
            if not isinstance(event, Rejection):
                yield event
        elif value is not None:
            yield _decode_truth(value)
    for source in read_sources(settings.sources):
        if source.own_topic is topic:
            read = live_decoder(source).read
            for message in retained_messages(settings, source.topic, period):
                appended_ms = bounded(message.timestamp()[1], now_ms)
                mapped = read(message.key(), message.value(), None, appended_ms, max_future)
                found = event_of(mapped.fate, mapped.value, mapped.detail)
                if found is not None and not isinstance(found, Rejection):
                    yield found


def retained_messages(settings: Settings, topic: str, period: Period) -> Iterator[Message]:
    """The messages of `topic` that Kafka appended in `period` and still has. Raises CollectError when it is silent."""
    kafka = _account(settings)
    consumer: Consumer = connected(Consumer, kafka, kafka.consumer_config(ConsumerGroup.COLLECT))
    with closing(consumer), _progress() as progress:
        left = _ranges(consumer, topic, period)
        task = progress.add_task(f"reading {topic}", total=sum(end - start for start, end in left.values()))
        consumer.assign([TopicPartition(topic, partition, start) for partition, (start, _) in left.items()])
        came = time.monotonic()
        while left:
            messages = consumer.consume(_MESSAGES, _POLL_SECONDS)
            if messages:
                came = time.monotonic()
            elif time.monotonic() - came > _TIMEOUT_SECONDS:
                raise CollectError(
                    f"Kafka's topic {topic} gave nothing for {_TIMEOUT_SECONDS:.0f} s: is the broker up?"
                )
            for message in messages:
                if error := message.error():
                    raise KafkaException(error)
                partition, offset = message.partition() or 0, message.offset() or 0
                end = left.get(partition, (0, 0))[1]
                if offset < end:
                    yield message
                if offset >= end - 1:
                    left.pop(partition, None)
            progress.advance(task, len(messages))


def _account(settings: Settings) -> KafkaSettings:
    return settings.kafka.as_role(Role.READER)


def _ranges(consumer: Consumer, topic: str, period: Period) -> dict[int, tuple[int, int]]:
    """The first offset and the one after the last, of each partition that has messages of `period`."""
    partitions = consumer.list_topics(topic, _TIMEOUT_SECONDS).topics[topic].partitions
    ends = {
        each: consumer.get_watermark_offsets(TopicPartition(topic, each), _TIMEOUT_SECONDS)[1] for each in partitions
    }
    starts = _first_offsets(consumer, topic, ends, period.since_ms)
    if period.until_ms is not None:
        ends = _first_offsets(consumer, topic, ends, period.until_ms)
    return {each: (starts[each], ends[each]) for each in partitions if starts[each] < ends[each]}


def _first_offsets(consumer: Consumer, topic: str, ends: dict[int, int], since_ms: int) -> dict[int, int]:
    """Each partition's first offset appended at `since_ms` or later; its end, where nothing is that new."""
    asked = [TopicPartition(topic, partition, since_ms) for partition in ends]
    found = consumer.offsets_for_times(asked, _TIMEOUT_SECONDS)
    return {each.partition: each.offset if each.offset >= 0 else ends[each.partition] for each in found}


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


@app.command(epilog=_EXAMPLES)
def main(
    hours: Annotated[float, typer.Option(help="how far back, hours", min=0.1)] = 6.0,
    warm_up_hours: Annotated[
        float | None,
        typer.Option(
            help="how far before that profiles begin; default: all that Kafka retains, and an imported past", min=0
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder to replace; default: training/history in var")] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="compute features from Kafka, though the archive has them as served")
    ] = False,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=TYPED_TIME_FORMATS,
            help="UTC time of the past at which the hours end, with the labels made by then; from the archive only",
        ),
    ] = None,
    existing: Annotated[Path | None, typer.Option(help="take this history instead, after a look at it")] = None,
) -> None:
    """Collects a history, and prints its folder as JSON: {"history": …}."""
    with told_in_one_line():
        if existing:
            events = HistoryFolder(existing).events()
            folder = existing
            console.print(f"{events:,} events in {existing}")
        else:
            settings = load_settings()
            folder = out or settings.paths.training / "history"
            until = as_of.replace(tzinfo=UTC) if as_of else None
            now = until or datetime.now(UTC)
            by_archive = warm_up_hours is None and not recompute
            served = served_period(settings, now - timedelta(hours=hours), now) if by_archive else None
            if served:
                console.print(f"features as served from {served.since:%F %T} to {served.until:%F %T}, by the archive")
                rows = collect_served(settings, served, folder, until)
            elif until:
                raise CollectError(
                    f"--as-of {until:%Y-%m-%d %H:%M} needs the {hours:g} h before in the archive, and neither "
                    "--warm-up-hours nor --recompute: ask for fewer hours, or run the Dag archive_transactions"
                )
            else:
                rows = collect(settings, hours, folder, warm_up_hours)
            console.print(f"wrote {', '.join(f'{number:,} {name}' for name, number in rows.items())} to {folder}")
    typer.echo(json.dumps({"history": str(folder.resolve())}))


if __name__ == "__main__":
    app()
