"""Samples of a running stream: memory and CPU time by part, Spark's state, lag, micro-batches and disk use."""

import csv
import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from benchmarks.measuring.stream import Program, Stream, parts_of, with_children
from fraudstream.ledger.figures import MESSAGES
from fraudstream.local.supervisor import Supervisor
from fraudstream.storage.connect import Postgres

Sample = Mapping[str, float]
#: `python` is Spark's Python workers with the daemon that they are forked from. Memory moves from it to them while they
#: write to pages that they share, so that the workers alone seem to grow.
JOB_PARTS = ("driver", "jvm", "python", "other")
SERVERS = ("kafka", "postgres")
ROLLUP = re.compile(r"^(Pss|Pss_Anon): +(\d+) kB$", re.MULTILINE)
STATE = re.compile(r"state: (\d+) rows, (\d+) bytes of memory, (\d+) bytes of files")
#: The job's log is long; Spark's state is told once a minute.
LOG_TAIL_BYTES = 65_536

BATCHES = f"""
    SELECT count(*) AS batches,
           coalesce(max({MESSAGES}), 0) AS largest_batch,
           coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms), 0) AS duration_p50_ms,
           coalesce(max(duration_ms), 0) AS duration_max_ms,
           coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY latencies_ms[1]), 0) AS latency_p50_ms,
           coalesce(max(latencies_ms[3]), 0) AS latency_p99_ms
    FROM fraud.stream_batches WHERE committed_at > to_timestamp(%s) AND committed_at <= to_timestamp(%s)
"""  # noqa: S608 (constants)


@dataclass(frozen=True)
class Memory:
    """Proportional set size (a page that n processes share counts 1/n in each), bytes.

    `anonymous` is the part that programs wrote. The rest are mapped files, whose share depends on who else on the
    machine maps them: it grows when another program ends.
    """

    pss: int = 0
    anonymous: int = 0

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.pss + other.pss, self.anonymous + other.anonymous)


class Sampler:
    """Takes samples of a stream and its job, and writes each as a row of CSV.

    Columns: `seconds` since the first sample, `load` (1 minute), `pss_…` and `anon_…` (`Memory`, bytes: each part of
    the job, their sum `…_job`, both servers), `cpu_…` (of the same, seconds since their start), `workers`, `state_…`
    (rows, bytes), `lag` (messages), the micro-batches since the last sample (`BATCHES`), and `disk_…` (bytes).
    """

    def __init__(self, stream: Stream, job: Program, database: Postgres, path: Path) -> None:
        self._stream, self._job, self._database = stream, job, database
        self._begun = self._last = time.time()
        self._file = path.open("w", newline="")
        self._writer: csv.DictWriter[str] | None = None
        self.samples: list[Sample] = []

    def __enter__(self) -> "Sampler":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def take(self) -> Sample:
        """The figures now. Raises BenchmarkError when the job has ended."""
        self._job.check()
        now = time.time()
        sample: dict[str, float] = {
            "seconds": round(now - self._begun, 1),
            "load": os.getloadavg()[0],
            **self._memory(),
            **last_state(self._job.log),
            "lag": self._stream.lag(self._database),
            **self._batches(now),
            **self._disk(),
        }
        self._last = now
        self._write(sample)
        return sample

    def at(self, moment: float, name: str) -> float:
        """A figure at a time (seconds since the epoch), between the samples around it."""
        seconds = moment - self._begun
        before = [s for s in self.samples if s["seconds"] <= seconds][-1:] or self.samples[:1]
        after = [s for s in self.samples if s["seconds"] > seconds][:1] or self.samples[-1:]
        (first,), (last,) = before, after
        span = last["seconds"] - first["seconds"]
        return first[name] + (last[name] - first[name]) * ((seconds - first["seconds"]) / span if span else 0.0)

    def _write(self, sample: Sample) -> None:
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, sample.keys())
            self._writer.writeheader()
        self._writer.writerow(sample)
        self._file.flush()
        self.samples.append(sample)

    def _memory(self) -> dict[str, float]:
        found = parts_of(psutil.Process(self._job.process.pid))
        parts = {"driver": found["driver"], "jvm": found["jvm"], "other": found["other"]}
        parts["python"] = found["daemon"] + found["workers"]
        states = Supervisor(self._stream.settings).states()
        servers = {name: with_children(states[name].pid) for name in SERVERS}
        memory = {name: memory_of(processes) for name, processes in (parts | servers).items()}
        memory["job"] = sum((memory[name] for name in JOB_PARTS), Memory())
        cpu = {
            f"cpu_{name}": round(sum(map(_cpu_seconds, processes)), 2) for name, processes in (parts | servers).items()
        }
        cpu["cpu_job"] = sum(cpu[f"cpu_{name}"] for name in JOB_PARTS)
        pss = {f"pss_{name}": each.pss for name, each in memory.items()}
        anonymous = {f"anon_{name}": each.anonymous for name, each in memory.items()}
        return {**pss, **anonymous, **cpu, "workers": len(found["workers"])}

    def _batches(self, now: float) -> dict[str, float]:
        cursor = self._database.execute(BATCHES, (self._last, now))
        names = [column.name for column in cursor.description or ()]
        return dict(zip(names, cursor.fetchone() or (), strict=True))

    def _disk(self) -> dict[str, float]:
        paths = self._stream.settings.paths
        folders = {"checkpoint": paths.checkpoint, "logs": paths.logs, "kafka": paths.kafka, "postgres": paths.postgres}
        return {f"disk_{name}": _disk_bytes(folder) for name, folder in folders.items()}


def last_state(log: Path) -> dict[str, float]:
    """Rows and bytes of Spark's state, as the job told them last; 0 before that."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        told = STATE.findall(file.read().decode(errors="replace"))
    rows, memory, files = told[-1] if told else (0, 0, 0)
    return {"state_rows": int(rows), "state_memory": int(memory), "state_files": int(files)}


def column(samples: Sequence[Sample], name: str) -> list[float]:
    """A figure over time."""
    return [sample[name] for sample in samples]


def memory_of(processes: Sequence[psutil.Process]) -> Memory:
    """The memory of processes together."""
    total = Memory()
    for process in processes:
        with suppress(ProcessLookupError, FileNotFoundError):  # it has just ended
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            kib = {name: int(value) for name, value in ROLLUP.findall(rollup)}
            total += Memory(kib["Pss"] * 1024, kib["Pss_Anon"] * 1024)
    return total


def _cpu_seconds(process: psutil.Process) -> float:
    """CPU time of the process and of its children that have ended."""
    with suppress(psutil.NoSuchProcess):
        return sum(process.cpu_times()[:4])
    return 0.0


def _disk_bytes(folder: Path) -> int:
    """Blocks in use; a file that is deleted meanwhile counts as nothing."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(root, name)).st_blocks * 512  # noqa: PTH118 (many thousand files)
    return total
