"""Upgrades of a stream that goes on scoring, on one checkpoint: other code, other settings, another model.

    ./fraudctl bench upgrade -- --from 146b86e

The streaming job starts with the code of another commit, on the schema of that commit, while the simulated shop sends.
As by `fraudctl up` after a pull, this code then migrates the database under the old job, which is told to end once it
was seen to go on or to fail, and takes its checkpoint over. It is started again with other settings, with a setting
that the checkpoint doesn't allow, and, when no migration came in between, with the old code once more; a model is
promoted while it runs. Each line says how long nothing was committed. Kafka and Postgres lie in a folder and on ports
of their own. Ends with 1 when something isn't accounted for, the state had to be made anew, or a start is not refused
that should be.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.measuring.accounting import differences
from benchmarks.measuring.stream import BenchmarkError, Program, Stream, bare_stream, wait_until
from fraudstream.settings import ENV_PREFIX, PROJECT_DIR
from fraudstream.storage.connect import Postgres, connect
from model.serving.registry import promote, register
from testbed.models import renamed

RATE = 150
PHASE_SECONDS = 30.0
START_SECONDS = 180.0
OTHER_SETTINGS = {
    ENV_PREFIX + "STREAM__TRIGGER_SECONDS": "0.5",
    ENV_PREFIX + "STREAM__MAX_OFFSETS_PER_TRIGGER": "5000",
    ENV_PREFIX + "STREAM__ALLOWED_LATENESS_SECONDS": "300",
    ENV_PREFIX + "STREAM__DRIVER_MEMORY_MB": "768",
}
FIXED_SETTING = {ENV_PREFIX + "STREAM__STATE_PARTITIONS": "4"}
PROMOTED = "upgrade-1"
#: What `fraudctl up` does between the servers' start and Airflow's, in words that each commit since 146b86e has.
UP = """
from fraudstream.local.up import Up
from fraudstream.settings import load_settings

up = Up(load_settings())
for step in (up.schema, up.static_data, up.model):
    step(lambda _: None)
"""


class Upgrades:
    """One checkpoint, and the jobs that follow each other on it."""

    def __init__(self, stream: Stream, database: Postgres) -> None:
        self.database = database
        self._stream = stream
        self._job: Program | None = None

    @property
    def schema(self) -> str:
        """The newest migration that the database has."""
        settings = self._stream.settings
        with connect(settings, settings.postgres.admin, name="bench upgrade") as admin:
            row = admin.execute("SELECT version_num FROM fraud.alembic_version").fetchone()
        return str(row[0]) if row else ""

    def bring_up(self, what: str, environment: Mapping[str, str]) -> None:
        """Brings schema, static data and model to those of some code, as its `fraudctl up` does."""
        began = time.monotonic()
        command = [sys.executable, "-P", "-c", UP]
        done = subprocess.run(
            command, cwd=PROJECT_DIR, env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchmarkError(f"{what}: `up` ended with status {done.returncode}: {done.stderr[-2000:]}")
        print(f"{what}: schema {self.schema}, {time.monotonic() - began:.1f} s", flush=True)

    def watch_old_job(self, what: str) -> None:
        """Says whether a job goes on under a schema that is newer than its code: until it commits, or has ended."""
        assert self._job is not None  # noqa: S101 (started before)
        job, before, began = self._job, self._newest(), time.monotonic()
        while job.process.poll() is None and self._newest() == before:
            if time.monotonic() - began > START_SECONDS:
                raise BenchmarkError(f"{what}: neither a commit nor its end within {START_SECONDS:.0f} s")
            time.sleep(0.1)
        status, after = job.process.poll(), f"{time.monotonic() - began:.1f} s later"
        ended = "commits" if status is None else f"ends with {status}: {_last_error(job.log)}"
        print(f"{what}: {after}, {ended}", flush=True)

    def start(self, what: str, environment: Mapping[str, str]) -> None:
        """Stops the job as Airflow would, starts it anew, and says how long nothing was committed."""
        if self._job:
            self._job.stop()
        before = self._newest()
        self._job = self._stream.start_job(environment=environment)
        wait_until(lambda: self._newest() > before, self._job, START_SECONDS, what)
        self._tell(what, before)
        time.sleep(PHASE_SECONDS)
        self._job.check()

    def refuse(self, what: str, environment: Mapping[str, str]) -> None:
        """A start that has to be refused. Raises BenchmarkError when it isn't."""
        if self._job:
            self._job.stop()
        refused = self._stream.start_job(environment=environment)
        status = refused.process.wait()
        if status != os.EX_CONFIG:
            raise BenchmarkError(f"{what}: exit status {status} instead of {os.EX_CONFIG}")
        print(f"{what}: refused: {_last_error(refused.log)}", flush=True)

    def promote(self, version: str) -> None:
        """Promotes the shipped model under another version while the job runs."""
        settings = self._stream.settings
        with connect(settings, settings.postgres.writer, name="bench upgrade") as registry:
            register(registry, renamed(settings.paths.var / version, version), settings.paths.models)
            promote(registry, version)
        promoted = time.monotonic()
        assert self._job is not None  # noqa: S101 (started before)
        wait_until(lambda: self._scored_by(version), self._job, START_SECONDS, f"scored by {version}")
        print(f"model promoted: scores {time.monotonic() - promoted:.1f} s later, without a stop", flush=True)
        time.sleep(PHASE_SECONDS)

    def drain(self) -> None:
        """Waits for what the shop has sent, and stops the job."""
        assert self._job is not None  # noqa: S101 (started before)
        wait_until(lambda: not self._stream.lag(self.database), self._job, START_SECONDS, "no lag")
        self._job.stop()

    def differences(self) -> Iterator[str]:
        """Differences of the books, and a checkpoint that was given up."""
        yield from differences(self._stream, self.database)
        (generation,) = self.database.execute("SELECT max(generation) FROM fraud.stream_queries").fetchone() or (None,)
        if generation != 0:
            yield f"the state was made anew: it is of generation {generation}"

    def _newest(self) -> int:
        row = self.database.execute("SELECT coalesce(max(batch_id), -1) FROM fraud.stream_batches").fetchone()
        return int(row[0]) if row else -1

    def _scored_by(self, version: str) -> bool:
        query = "SELECT model_version FROM fraud.stream_batches ORDER BY batch_id DESC LIMIT 1"
        return self.database.execute(query).fetchone() == (version,)

    def _tell(self, what: str, before: int) -> None:
        gap = """
            SELECT extract(epoch FROM n.committed_at - o.committed_at)::float8
            FROM fraud.stream_batches o, fraud.stream_batches n WHERE o.batch_id = %s AND n.batch_id = %s
        """
        row = self.database.execute(gap, (before, before + 1)).fetchone()
        print(f"{what}: " + (f"{row[0]:.1f} s without a commit" if row else "started"), flush=True)


def main() -> None:
    """Goes through the upgrades and prints what each took."""
    old_name = f"code of {_arguments().old}"
    with bare_stream() as stream, stream.connect() as database:
        old = code_of(_arguments().old, stream.settings.paths.var / "old")
        old_code = {"PYTHONPATH": str(old), "PYTHONSAFEPATH": "1"}
        upgrades = Upgrades(stream, database)
        upgrades.bring_up(old_name, old_code)
        shop = stream.start_shop("--rate", str(RATE))
        upgrades.start(old_name, old_code)
        former = upgrades.schema
        upgrades.bring_up("code of this tree", {})
        if upgrades.schema != former:
            upgrades.watch_old_job(f"{old_name} on schema {upgrades.schema}")
        upgrades.start("code of this tree", {})
        upgrades.start("other settings", OTHER_SETTINGS)
        upgrades.promote(PROMOTED)
        upgrades.refuse("a setting that is fixed with the checkpoint", FIXED_SETTING)
        if upgrades.schema == former:
            upgrades.start(f"back to the {old_name}", old_code)
        else:
            print(
                f"back to the {old_name}: not tried, since its newest migration is {former} and the database's "
                f"{upgrades.schema}; that takes the backup from before, and a rebuild (docs/production.md)",
                flush=True,
            )
        upgrades.start("code of this tree again", {})
        shop.stop()
        upgrades.drain()
        found = list(upgrades.differences())
        print("accounting: " + ("; ".join(found) or "every message once, distinct ids sent = stored, no rebuild"))
    if found:
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="old", required=True, metavar="COMMIT", help="whose code the stream starts with")
    return parser.parse_args()


def code_of(commit: str, folder: Path) -> Path:
    """Unpacks the files of a commit. Returns `folder`. Raises BenchmarkError when there is no such commit."""
    folder.mkdir()
    made = subprocess.run(["git", "archive", commit], cwd=PROJECT_DIR, capture_output=True, check=False)
    if made.returncode:
        raise BenchmarkError(f"no code of {commit!r}: {made.stderr.decode().strip()}; choose one of `git log`")
    subprocess.run(["tar", "-x", "-C", folder], input=made.stdout, check=True)
    return folder


def _last_error(log: Path) -> str:
    """The last error that the job itself has logged; a JVM that it stops may log others behind it."""
    mark = " ERROR score_transactions: "
    return next((line.split(mark)[1] for line in reversed(log.read_text().splitlines()) if mark in line), "no error")


if __name__ == "__main__":
    main()
