"""Whatever can grow in a running platform: descriptors, threads, sockets, processes, memory, files, tables.

A figure is a *series*, such as `sockets/stream-jvm`, `bytes/var/kafka` or `rows/fraudstream.fraud.stream_batches`. The
record has one line a figure, `run,seconds,series,value`, since folders and tables come while it is written.
"""

import csv
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
from psycopg import Connection

from benchmarks.measuring.stream import Stream, parts_of, with_children
from fraudstream.jobs.jobs import jobs
from fraudstream.ledger import figures
from fraudstream.local.supervisor import Supervisor
from fraudstream.settings import Settings
from fraudstream.storage.connect import connect

COLUMNS = ("run", "seconds", "series", "value")
#: Folders deeper than this below `var` count to the one above: Airflow makes one for each run of a Dag.
FOLDER_LEVELS = 3

#: Rows by Postgres' own counters: as exact as its last ANALYZE after a crash, and free. A temporary table
#: would make this wait for the transaction that has it.
TABLES = """
    SELECT format('%s.%s.%s', current_database(), schemaname, relname), n_live_tup, pg_total_relation_size(relid)
    FROM pg_stat_user_tables
    WHERE schemaname NOT LIKE 'pg_temp%'
"""


class Recorder:
    """Takes the figures of a platform, and appends them to a file that may be read meanwhile."""

    def __init__(self, stream: Stream, path: Path) -> None:
        self._stream, self._settings = stream, stream.settings
        self._begun = time.time()
        self._run = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._begun))
        self._open = ExitStack()
        is_new = not path.exists()
        self._file = self._open.enter_context(path.open("a", newline=""))
        self._writer = csv.writer(self._file)
        if is_new:
            self._writer.writerow(COLUMNS)

    def __enter__(self) -> "Recorder":
        pg = self._settings.postgres
        self._databases = [
            self._open.enter_context(connect(self._settings, pg.admin, name, name="bench", autocommit=True))
            for name in (pg.database, pg.airflow_database, pg.superset_database)
        ]
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def take(self) -> dict[str, float]:
        """Writes the figures now, and returns them."""
        seconds = round(time.time() - self._begun, 1)
        found = dict(self._figures())
        self._writer.writerows((self._run, seconds, series, value) for series, value in found.items())
        self._file.flush()
        return found

    def _figures(self) -> Iterator[tuple[str, float]]:
        for part, processes in parts(self._settings).items():
            yield from process_figures(part, processes)
        yield from folder_figures(self._settings.paths.var)
        for database in self._databases:
            yield from table_figures(database)
        yield from self._stream_figures()

    def _stream_figures(self) -> Iterator[tuple[str, float]]:
        fraud = self._databases[0]
        read, rates = figures.totals(fraud).read, figures.rates(fraud)
        yield "messages", read
        yield "lag", self._stream.lag(fraud)
        yield "latency_p99_ms", rates.p99_ms or 0.0
        identity = jobs(self._settings)["stream"].slot.running
        yield "uptime/stream", time.time() - identity.launched_at if identity else 0.0


def parts(settings: Settings) -> dict[str, list[psutil.Process]]:
    """The processes of each part; none of one that doesn't run."""
    found = {name: with_children(state.pid) for name, state in Supervisor(settings).states().items()}
    running = {name: job.slot.running for name, job in jobs(settings).items()}
    if (stream := running["stream"]) and psutil.pid_exists(stream.pid):
        job = parts_of(psutil.Process(stream.pid))
        found |= {f"stream-{name}": processes for name, processes in job.items() if name != "other"}
    if producer := running["producer"]:
        found["producer"] = with_children(producer.pid)
    return found


def process_figures(part: str, processes: list[psutil.Process]) -> Iterator[tuple[str, float]]:
    """Figures of a part, its child processes counted in."""
    counted: dict[str, float] = dict.fromkeys(("descriptors", "sockets", "threads", "memory"), 0.0)
    for process in processes:
        with suppress(psutil.Error, OSError):  # it has just ended
            files = os.listdir(f"/proc/{process.pid}/fd")  # noqa: PTH208 (thousands of files)
            counted["descriptors"] += len(files)
            counted["sockets"] += sum(_is_socket(process.pid, file) for file in files)
            counted["threads"] += process.num_threads()
            counted["memory"] += process.memory_info().rss - process.memory_info().shared
    yield from ((f"{kind}/{part}", value) for kind, value in counted.items())
    yield f"processes/{part}", len(processes)


def folder_figures(var: Path) -> Iterator[tuple[str, float]]:
    """Files, and bytes of blocks in use, of each folder, with what lies below it."""
    files: dict[str, int] = {}
    blocks: dict[str, int] = {}
    for root, _, names in os.walk(var):  # doesn't follow links to shared environments
        above = ["var", *Path(root).relative_to(var).parts][:FOLDER_LEVELS]
        used = sum(_blocks(os.path.join(root, name)) for name in names)  # noqa: PTH118 (thousands of files)
        for level in range(1, len(above) + 1):
            folder = "/".join(above[:level])
            files[folder] = files.get(folder, 0) + len(names)
            blocks[folder] = blocks.get(folder, 0) + used
    yield from ((f"files/{folder}", count) for folder, count in files.items())
    yield from ((f"bytes/{folder}", used) for folder, used in blocks.items())


def table_figures(database: Connection[Any]) -> Iterator[tuple[str, float]]:
    """Rows, and bytes with indexes, of each table."""
    for table, rows, size in database.execute(TABLES).fetchall():
        yield f"rows/{table}", rows
        yield f"table/{table}", size


def _is_socket(pid: int, file: str) -> bool:
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/fd/{file}").startswith("socket:")  # noqa: PTH115 (thousands of files)
    return False


def _blocks(path: str) -> int:
    with suppress(FileNotFoundError):
        return os.lstat(path).st_blocks * 512
    return 0
