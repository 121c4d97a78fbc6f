"""The import of a simulated history of a million transactions, on servers of its own: seconds, CPU-seconds and memory.

    ./fraudctl bench past
    ./fraudctl bench past --transactions 50000 --customers 5000 --processes 1

The target is 4 minutes for the million on two quiet cores. What making the history takes isn't counted.
"""

import argparse
import os
import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fraudstream.simulator.history import write_history
from fraudstream.simulator.history_plan import HistoryPlan
from fraudstream.storage.connect import Postgres, connect
from model.past import store
from model.past.importing import Options, import_history
from testbed.isolation import isolated_servers

MIB = 2**20
TABLES = (
    *("past_transactions", "past_labels", "product_sales", "segment_sales"),
    *("fraud_counts", "segment_counts", "fraud_locations"),
)


def main() -> None:
    """Makes the history, imports it, and prints the figures."""
    arguments = _arguments()
    with isolated_servers() as settings, tempfile.TemporaryDirectory() as folder:
        history = Path(folder) / "history"
        end = datetime.now(UTC) - timedelta(hours=1)
        sizes = (arguments.customers, 1_000, arguments.transactions)
        list(write_history(history, HistoryPlan(42, *sizes, 0.01, arguments.days, end), arguments.processes))
        started, spent = time.monotonic(), _cpu_seconds()
        import_history(settings, history, Options(arguments.processes))
        seconds, spent = time.monotonic() - started, _cpu_seconds() - spent
        with connect(settings, settings.postgres.reader, name="bench") as database:
            print(store.summary(database))
            print("; ".join(_size(database, table) for table in TABLES))
        snapshot = sum(file.stat().st_size for file in settings.paths.snapshots.rglob("*.parquet"))
    workers, own = (_memory(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
    print(
        f"{seconds:.0f} s and {spent:.0f} CPU-s in {arguments.processes} processes, without Postgres's; memory "
        f"{own:.0f} MiB, of the largest other process {workers:.0f} MiB; the snapshot takes {snapshot / MIB:.0f} MiB"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=1_000_000, help="with their browsing (1000000)")
    parser.add_argument("--customers", type=int, default=100_000, help="of the shop (100000)")
    parser.add_argument("--days", type=int, default=60, help="length of the history (60)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="that compute profiles (one a core)")
    return parser.parse_args()


def _cpu_seconds() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


def _memory(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def _size(database: Postgres, table: str) -> str:
    query = f"SELECT count(*), pg_total_relation_size('fraud.{table}') FROM fraud.{table}"  # noqa: S608 (constants)
    ((rows, size),) = database.execute(query.encode()).fetchall()
    return f"{table} {rows} rows, {size / MIB:.0f} MiB"


if __name__ == "__main__":
    main()
