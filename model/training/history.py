"""A history directory: its files, and its events' way through the feature code, on all cores.

Every process takes the customers of one shard and merges their browsing events and transactions by time, as the stream
would have met them; at the same time, browsing comes first. Profiles begin with what is in the folder `warm_up`, whose
transactions get no features of their own; without it they begin empty, as on a new platform.
"""

import gc
import heapq
import multiprocessing
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudstream.messages.contracts import LAST_MS, SCHEMA_VERSION, BrowseEvent, Item, Transaction
from model.features.columns import STATEFUL_COLUMNS
from model.features.observe import observe_browse, observe_transaction
from model.features.profile import Profile
from model.training.errors import HistoryError

BATCH_ROWS = 16_384
_WARM_UP_ROWS = 2_048  # of each part: all are read at the same time
WARM_UP = "warm_up"
_POLL_SECONDS = 0.5
_BROWSE, _TRANSACTION = "browse_events", "transactions"
WARM_UP_DATASETS = (_BROWSE, _TRANSACTION, "labels")


@dataclass(frozen=True)
class HistoryFolder:
    """A history directory, as the simulator writes it."""

    path: Path

    def parts(self, name: str) -> list[Path]:
        """The files of `name`, such as `transactions`. Raises HistoryError when there are none."""
        parts = sorted((self.path / name).glob("part-*.parquet"))
        if not parts:
            raise HistoryError(
                f"no {name}/part-*.parquet in {self.path}; write a history with "
                "`python -m fraudstream.simulator produce --out DIR`"
            )
        return parts

    def table(self, name: str) -> pd.DataFrame:
        """All rows of `name`, from its parts or from the single file `name.parquet`."""
        single = self.path / f"{name}.parquet"
        tables = [pq.read_table(part) for part in ([single] if single.exists() else self.parts(name))]
        frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
        return frame

    @property
    def warm_up(self) -> "HistoryFolder":
        """What came before the history, as far as it is known: maybe nothing."""
        return HistoryFolder(self.path / WARM_UP)

    def parts_if_any(self, name: str) -> list[Path]:
        """The files of `name`; none where there are none."""
        return self.parts(name) if self.has(name) else []

    def has(self, name: str) -> bool:
        """True where there are files of `name`."""
        return any((self.path / name).glob("part-*.parquet"))

    def rows(self, name: str) -> int:
        """Number of rows of `name`, from the files' footers."""
        return sum(pq.read_metadata(part).num_rows for part in self.parts(name))

    def events(self) -> int:
        """Number of browsing events and transactions, with those of the warm-up."""
        before = sum(self.warm_up.rows(name) for name in (_BROWSE, _TRANSACTION) if self.warm_up.has(name))
        return self.rows(_BROWSE) + self.rows(_TRANSACTION) + before


def stateful_features(folder: HistoryFolder, processes: int, progress: Callable[[int], None]) -> pd.DataFrame:
    """STATEFUL_COLUMNS: a row a transaction, indexed by transaction_id; a repeated transaction isn't in it.

    Nor is a transaction of the warm-up, which only moves the profiles.

    Calls `progress` now and then with the number of events done so far. Raises HistoryError.
    """
    folder.parts(_BROWSE), folder.parts(_TRANSACTION)
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    with ProcessPoolExecutor(processes, context, _prepare_worker, (counter,)) as pool:
        shards = [pool.submit(_shard_features, folder, shard, processes) for shard in range(processes)]
        waiting = set(shards)
        while waiting:
            waiting = wait(waiting, _POLL_SECONDS).not_done
            progress(counter.value)
        results = [shard.result() for shard in shards]
    identifiers = np.concatenate([part[0] for part in results])
    return pd.DataFrame(np.concatenate([part[1] for part in results]), identifiers, STATEFUL_COLUMNS)


#: Its time, and whether it is of the warm-up (told of transactions only).
_Event = tuple[datetime, BrowseEvent | Transaction, bool]
_counter: "Synchronized[int]"  # of events, shared by the processes of a pool


def _prepare_worker(counter: "Synchronized[int]") -> None:
    global _counter
    _counter = counter
    gc.disable()  # profiles and events hold no cycles, and looking for some costs a third of the time


def _shard_features(folder: HistoryFolder, shard: int, shards: int) -> tuple[np.ndarray, np.ndarray]:
    """Transaction ids and features of the customers whose row in customers.parquet is `shard` modulo `shards`."""
    customers = pq.read_table(folder.path / "customers.parquet", columns=["customer_id"]).column(0).combine_chunks()
    mine = customers.take(pa.array(range(shard, len(customers), shards)))
    profiles: dict[str, Profile] = {str(customer): Profile() for customer in mine}
    identifiers: list[str] = []
    features = array("d")
    before = folder.warm_up
    streams: list[Iterator[_Event]] = [
        _browse_events(part, mine, _WARM_UP_ROWS) for part in before.parts_if_any(_BROWSE)
    ]
    streams += [_browse_events(part, mine, BATCH_ROWS) for part in folder.parts(_BROWSE)]
    streams += [_transactions(part, mine, _WARM_UP_ROWS, warms=True) for part in before.parts_if_any(_TRANSACTION)]
    streams += [_transactions(part, mine, BATCH_ROWS, warms=False) for part in folder.parts(_TRANSACTION)]
    for count, (_, event, warms) in enumerate(heapq.merge(*streams, key=_event_time), 1):
        profile = profiles[event.customer_id]
        if isinstance(event, BrowseEvent):
            observe_browse(profile, event)
        elif (values := observe_transaction(profile, event)) is not None and not warms:
            identifiers.append(event.transaction_id)
            features.extend(values)
        if not count % BATCH_ROWS:
            with _counter.get_lock():
                _counter.value += BATCH_ROWS
    return np.array(identifiers, object), np.frombuffer(features).reshape(-1, len(STATEFUL_COLUMNS))


def _event_time(event: _Event) -> datetime:
    return event[0]


def _browse_events(part: Path, customers: pa.Array, rows: int) -> Iterator[_Event]:
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


def _transactions(part: Path, customers: pa.Array, rows: int, *, warms: bool) -> Iterator[_Event]:
    names = tuple(name for name in Transaction.__struct_fields__ if name != "schema_version")
    for columns in _batches(part, customers, names, rows):
        for row in columns:
            event = Transaction(schema_version=SCHEMA_VERSION, **dict(zip(names, row, strict=True)))
            yield event.event_time, event, warms


def _batches(part: Path, customers: pa.Array, names: tuple[str, ...], rows: int) -> Iterator[Iterator[tuple[Any, ...]]]:
    """The rows of `customers`, a batch in memory at a time."""
    with pq.ParquetFile(part) as file:
        for batch in file.iter_batches(rows, columns=list(names)):
            mine = batch.filter(pc.is_in(batch.column("customer_id"), customers))
            yield zip(*(_values(mine.column(name)) for name in names), strict=True)


def _values(column: pa.Array) -> list[Any]:
    """Values as of `column.to_pylist()`, several times faster for times, texts and items, which become `Item`s."""
    if pa.types.is_timestamp(column.type):
        milliseconds = column.cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_numpy()
        return [datetime.fromtimestamp(value / 1000, UTC) for value in milliseconds.clip(0, LAST_MS).tolist()]
    if pa.types.is_string(column.type):
        return list(column.to_numpy(zero_copy_only=False))
    if pa.types.is_list(column.type):
        return _items(column)
    return list(column.to_pylist())


def _items(column: pa.Array) -> list[list[Item]]:
    lines = column.flatten()
    fields = (_values(lines.field(name)) for name in ("product_id", "quantity", "unit_price"))
    items = [
        Item(product_id=product, quantity=quantity, unit_price=price)
        for product, quantity, price in zip(*fields, strict=True)
    ]
    ends = np.cumsum(pc.list_value_length(column).to_numpy()).tolist()
    return [items[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
