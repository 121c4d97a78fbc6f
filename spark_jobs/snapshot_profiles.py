"""Snapshots the profiles of all customers, as of one micro-batch that the stream has ended, while it runs.

    python -m spark_jobs.snapshot_profiles

The Dag `snapshot_profiles` runs it. It reads the checkpoint's own files, and neither stops nor changes anything.
"""

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Observation, SparkSession
from pyspark.sql import functions as F  # noqa: N812 (the usual name)

from fraudstream.erasure import known
from fraudstream.erasure import snapshots as erased_snapshots
from fraudstream.errors import FraudstreamError, told_in_one_line
from fraudstream.ledger.gaps import positions
from fraudstream.settings import Settings, load_settings
from fraudstream.snapshots.folders import DRAFT, Snapshot, prune
from fraudstream.snapshots.manifest import PROFILES, Moment, SnapshotError, by_topic
from fraudstream.snapshots.writing import COMPRESSION, draft, seal
from fraudstream.storage.connect import session
from model.features.profile import PROFILE_LAYOUT, STATE_LAYOUT
from spark_jobs.bucket_state import kept_in
from spark_jobs.checkpoint import Checkpoint, CheckpointError, location
from spark_jobs.failures import root_cause
from spark_jobs.schemas import CLOCKED, KEPT
from spark_jobs.session import build_session
from spark_jobs.state_reader import read_buckets

log = logging.getLogger("snapshot_profiles")

#: State partitions that are read at once. Each is copied at its task's start: one that waits may be deleted meanwhile.
MAX_THREADS = 8
#: Beside the drafts, and deleted like one that is left over.
SCRATCH = f"{DRAFT}scratch"
#: Spark may delete the files of a micro-batch while they are read; a newer one is read then.
ATTEMPTS = 3


@dataclass(frozen=True)
class Source:
    """The checkpoint of now, as Postgres knows it."""

    generation: int
    first_batch: int
    shop_currency: str
    begun_with: str | None  # the snapshot that it began with, which is kept
    topic_ids: dict[str, str]


def main() -> None:
    """Makes one snapshot, and deletes old ones. Exits with status 1 and one line when that can't be done."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stdout)
    logging.getLogger("py4j").setLevel(logging.WARNING)
    with told_in_one_line():
        settings = load_settings()
        source = find_source(settings)
        threads = min(settings.stream.state_partitions, MAX_THREADS)
        spark = build_session(_quiet(settings), f"local[{threads}]", settings.paths.snapshots / SCRATCH)
        try:
            made = snapshot(spark, settings, source)
        finally:
            spark.stop()
        if made is None:
            log.info("the stream hasn't ended a micro-batch yet: there is nothing to snapshot")
            return
        log.info("%s: %s customers as of %s", made.folder, made.manifest.customers, made.manifest.moment.made_by)
        with session(settings, settings.postgres.reader, name="snapshot_profiles") as connection:
            # Erased while this read the state from before.
            erased_snapshots.erase(settings.paths.snapshots, connection, known.newest(connection)[1])
        for name in prune(settings.paths.snapshots, settings.retention.snapshots, {source.begun_with or ""}):
            log.info("deleted the old snapshot %s", name)


def find_source(settings: Settings) -> Source:
    """Asks Postgres for the checkpoint. Raises SnapshotError when there is none, or one of another release."""
    with session(settings, settings.postgres.reader, name="snapshot_profiles") as connection:
        row = connection.execute(
            "SELECT generation, first_batch, shop_currency, snapshot, state_layout FROM fraud.stream_queries"
        ).fetchone()
        ids = {p.topic: p.topic_id for p in positions(connection) if p.topic_id}
    if row is None or row[2] is None:
        raise SnapshotError("the stream was never started: there is nothing to snapshot")
    if row[4] != STATE_LAYOUT:
        raise SnapshotError(
            f"the stream's profiles are of layout {row[4]}, and this release's is {STATE_LAYOUT}: restart the stream"
        )
    generation, first_batch, currency, begun_with, _ = row
    return Source(generation, first_batch, currency, begun_with, ids)


def snapshot(spark: SparkSession, settings: Settings, source: Source) -> Snapshot | None:
    """Makes a snapshot of the newest micro-batch that Spark ended; None without one. Raises FraudstreamError."""
    checkpoint = Checkpoint(spark, location(settings.checkpoint, source.generation))
    for attempt in range(1, ATTEMPTS + 1):
        batch_id = checkpoint.last_ended()
        if batch_id is None:
            return None
        try:
            return _snapshot(spark, settings, source, checkpoint, batch_id)
        except (CheckpointError, Py4JJavaError, PySparkException) as error:
            log.warning("micro-batch %s of the checkpoint can't be read: %s", batch_id, root_cause(error))
            if attempt == ATTEMPTS:
                raise FraudstreamError(
                    f"the checkpoint {checkpoint.location} can't be read, {ATTEMPTS} times: {root_cause(error)}"
                ) from error
    return None


def _snapshot(
    spark: SparkSession, settings: Settings, source: Source, checkpoint: Checkpoint, batch_id: int
) -> Snapshot:
    number, root = source.first_batch + batch_id, settings.paths.snapshots
    name = f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-batch-{number}"
    offsets = {(r.topic, r.partition): r.until for r in checkpoint.ranges(batch_id)}
    with draft(root, name) as folder:
        customers, clock_ms = _write(spark, checkpoint, batch_id, folder)
        moment = Moment(
            layout=PROFILE_LAYOUT,
            made_by=f"batch {number}",
            shop_currency=source.shop_currency,
            clock_ms=clock_ms,
            generation=source.generation,
            batch_id=number,
            offsets=by_topic(offsets),
            topic_ids=source.topic_ids,
        )
        if find_source(settings) != source:
            raise SnapshotError("the stream's state was set to be rebuilt meanwhile: snapshot it again")
        return seal(folder, root / name, moment, customers)


def _write(spark: SparkSession, checkpoint: Checkpoint, batch_id: int, folder: Path) -> tuple[int, int]:
    """Writes the files. Returns the number of customers that were read, and the newest of the buckets' clocks."""
    seen = Observation()
    (
        read_buckets(spark, checkpoint.location, batch_id)
        .select("head", "chunks")
        .mapInArrow(_customers, CLOCKED)
        .observe(seen, F.count("*").alias("customers"), F.coalesce(F.max("clock_ms"), F.lit(0)).alias("clock_ms"))
        .select(*KEPT.fieldNames())
        .write.mode("append")
        .option("compression", COMPRESSION)
        .parquet(f"file://{folder.resolve() / PROFILES}")
    )
    return seen.get["customers"], seen.get["clock_ms"]


def _customers(buckets: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for several in buckets:
        for head, chunks in zip(*(column.to_pylist() for column in several.columns), strict=True):
            clock_ms, kept = kept_in(head, chunks)
            if kept:
                columns = [*zip(*kept, strict=True), [clock_ms] * len(kept)]
                yield pa.RecordBatch.from_pydict(dict(zip(_CLOCKED.names, columns, strict=True)), _CLOCKED)


#: `CLOCKED`, as Arrow calls it.
_CLOCKED = pa.schema(
    [("customer_id", pa.string()), ("expires_ms", pa.int64()), ("profile", pa.binary()), ("clock_ms", pa.int64())]
)


def _quiet(settings: Settings) -> Settings:
    """Without a web page of its own, beside the stream's driver."""
    return settings.model_copy(update={"stream": settings.stream.model_copy(update={"spark_ui_port": 0})})


if __name__ == "__main__":
    main()
