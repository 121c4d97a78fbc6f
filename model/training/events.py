"""The events of a history directory, in the order in which the stream would have met them: by time, browsing first."""

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudstream.messages.contracts import LAST_MS, SCHEMA_VERSION, BrowseEvent, Item, Transaction
from model.training.history import BROWSE, TRANSACTIONS, HistoryFolder, unknown

BATCH_ROWS = 16_384
_WARM_UP_ROWS = 2_048  # of each part: all are read at the same time

#: Its time, and whether it is of the warm-up (told of transactions only).
Event = tuple[datetime, BrowseEvent | Transaction, bool]


def events_of(folder: HistoryFolder, customers: pa.Array) -> Iterator[Event]:
    """What `customers` did, with the warm-up. Raises HistoryError when the folder has no transactions."""
    before = folder.warm_up
    streams = [_browse_events(part, customers, _WARM_UP_ROWS) for part in before.parts_if_any(BROWSE)]
    streams += [_browse_events(part, customers, BATCH_ROWS) for part in folder.parts_if_any(BROWSE)]
    streams += [_transactions(part, customers, _WARM_UP_ROWS, warms=True) for part in before.parts_if_any(TRANSACTIONS)]
    streams += [_transactions(part, customers, BATCH_ROWS, warms=False) for part in folder.parts(TRANSACTIONS)]
    return heapq.merge(*streams, key=_event_time)


def event_ms(event: BrowseEvent | Transaction) -> int:
    """The event's time in milliseconds since the epoch."""
    return round(event.event_time.timestamp() * 1000)


def _event_time(event: Event) -> datetime:
    return event[0]


def _browse_events(part: Path, customers: pa.Array, rows: int) -> Iterator[Event]:
    # Named one by one, here and below: a dictionary a row would take four times as long.
    names = ("event_id", "session_id", "customer_id", "event_type", "event_time", "product_id", "traffic_source",
             "device_id", "device_type")  # fmt: skip
    for columns in _batches(part, customers, names, rows):
        for event_id, session, customer, event_type, event_time, product, source, device, device_type in columns:
            event = BrowseEvent(
                schema_version=SCHEMA_VERSION,
                event_id=event_id,
                session_id=session,
                customer_id=customer,
                event_type=event_type,
                event_time=event_time,
                product_id=product,
                traffic_source=source,
                device_id=device,
                device_type=device_type,
            )
            yield event_time, event, False


def _transactions(part: Path, customers: pa.Array, rows: int, *, warms: bool) -> Iterator[Event]:
    names = tuple(name for name in Transaction.__struct_fields__ if name != "schema_version")
    for columns in _batches(part, customers, names, rows):
        for row in columns:
            event = Transaction(schema_version=SCHEMA_VERSION, **dict(zip(names, row, strict=True)))
            yield event.event_time, event, warms


def _batches(part: Path, customers: pa.Array, names: tuple[str, ...], rows: int) -> Iterator[Iterator[tuple[Any, ...]]]:
    """The rows of `customers`, a batch in memory at a time; None of a column that the shop doesn't have."""
    with pq.ParquetFile(part) as file:
        present = set(file.schema_arrow.names)
        for batch in file.iter_batches(rows, columns=[name for name in names if name in present]):
            mine = batch.filter(pc.is_in(batch.column("customer_id"), customers))
            columns = (mine.column(name) if name in present else unknown(name, len(mine)) for name in names)
            yield zip(*map(_values, columns), strict=True)


def _values(column: pa.Array) -> list[Any]:
    """Values as of `column.to_pylist()`, several times faster for times, texts and items, which become `Item`s."""
    if pa.types.is_timestamp(column.type):
        milliseconds = column.cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_numpy()
        return [datetime.fromtimestamp(value / 1000, UTC) for value in milliseconds.clip(0, LAST_MS).tolist()]
    if pa.types.is_string(column.type):
        return list(column.to_numpy(zero_copy_only=False))
    if pa.types.is_list(column.type):
        return _items(column)
    if pa.types.is_floating(column.type):  # other writers' null
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return list(column.to_pylist())


def _items(column: pa.Array) -> list[list[Item] | None]:
    lines = column.flatten()
    fields = (_values(lines.field(name)) for name in ("product_id", "quantity", "unit_price"))
    items = [
        Item(product_id=product, quantity=quantity, unit_price=price)
        for product, quantity, price in zip(*fields, strict=True)
    ]
    ends = np.cumsum(pc.fill_null(pc.list_value_length(column), 0).to_numpy()).tolist()
    known = column.is_valid().to_pylist()
    return [
        items[start:end] if is_known else None
        for start, end, is_known in zip([0, *ends[:-1]], ends, known, strict=True)
    ]
