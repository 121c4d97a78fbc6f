"""Writes a history: Parquet files of everything that happened in a span of time.

Each part of the plan is a file of each dataset. Its worker also generates the cells shortly before it: parts don't
overlap, and each is sorted by time, without any talk between the workers.
"""

import gc
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraudstream.simulator.generator import generate, in_order
from fraudstream.simulator.history_plan import HistoryError, HistoryPlan, Part, plan_parts
from fraudstream.simulator.labels import label
from fraudstream.simulator.sessions import BrowseEvents, Transactions
from fraudstream.simulator.shop import Shop, build_shop
from fraudstream.simulator.tables import Tables
from fraudstream.simulator.times import DAY_MS

DATASETS = ("browse_events", "transactions", "labels", "truth")


@dataclass(frozen=True)
class Written:
    """The counts of a part that is written."""

    transactions: int
    browse_events: int
    frauds: int
    labels: int


class _Worker:
    """The data that a worker process needs for every part: handed over once, at its fork."""

    tables: Tables
    label_delay_ms: float

    def adopt(self, tables: Tables, label_delay_ms: float) -> None:
        """Keeps the data, in a worker that has just begun."""
        self.tables = tables
        self.label_delay_ms = label_delay_ms


_worker = _Worker()


def write_history(directory: Path, plan: HistoryPlan, workers: int) -> Iterator[Written]:
    """Writes the history into `directory`, and yields each part when it's done (in any order).

    Raises HistoryError when the directory holds something else already.
    """
    _prepare(directory)
    shop = build_shop(plan.seed, plan.customers, plan.products)
    tables = Tables(shop, plan.run, plan.currency, plan.lacks)
    pq.write_table(tables.customers(), directory / "customers.parquet")
    pq.write_table(tables.products(), directory / "products.parquet")
    parts = plan_parts(shop, plan)
    # fork, so that the workers share the shop's memory.
    handed_over = (tables, plan.label_delay_days * DAY_MS)
    with ProcessPoolExecutor(
        workers, mp_context=get_context("fork"), initializer=_worker.adopt, initargs=handed_over
    ) as pool:
        # The workers are forked here. One that collected garbage of this process would end Kafka's clients, whose
        # threads it doesn't have, and crash.
        gc.freeze()
        try:
            pending = [pool.submit(_write_part, directory, part) for part in parts]
        finally:
            gc.unfreeze()
        for done in as_completed(pending):
            yield done.result()


def _prepare(directory: Path) -> None:
    known = {*DATASETS, "customers.parquet", "products.parquet"}
    if directory.exists():
        strangers = sorted(entry.name for entry in directory.iterdir() if entry.name not in known)
        if strangers:
            raise HistoryError(f"--out {directory} holds {strangers[0]}, which is no history: name an empty folder")
    for dataset in DATASETS:
        shutil.rmtree(directory / dataset, ignore_errors=True)
        (directory / dataset).mkdir(parents=True)


def _write_part(directory: Path, part: Part) -> Written:
    tables, label_delay_ms = _worker.tables, _worker.label_delay_ms
    events, transactions = _part_columns(tables.shop, part)
    rng = np.random.default_rng([tables.shop.seed, 5, part.number, part.start_ms])
    labels = label(rng, transactions, label_delay_ms)
    labels = labels.take(np.argsort(labels.time, kind="stable"))
    name = f"part-{part.number:05d}.parquet"
    browsed = tables.browse_events(events)
    _write(directory / "browse_events" / name, browsed)
    _write(directory / "transactions" / name, tables.transactions(transactions))
    _write(directory / "labels" / name, tables.labels(labels, transactions))
    _write(directory / "truth" / name, tables.truth(transactions))
    return Written(len(transactions), browsed.num_rows, int((transactions.scenario > 0).sum()), len(labels))


def _part_columns(shop: Shop, part: Part) -> tuple[BrowseEvents, Transactions]:
    events, transactions = [], []
    for cell in part.cells:
        browse, purchases = generate(shop, cell)
        events.append(browse.take(part.browsing & (browse.time >= part.start_ms) & (browse.time < part.end_ms)))
        transactions.append(purchases.take((purchases.time >= part.start_ms) & (purchases.time < part.end_ms)))
    return in_order(BrowseEvents.concat(events)), in_order(Transactions.concat(transactions))


def _write(path: Path, table: pa.Table) -> None:
    # Without Arrow's own schema in the file, dictionary columns read back as plain strings everywhere.
    pq.write_table(table, path, compression="zstd", compression_level=1, store_schema=False, row_group_size=262_144)
