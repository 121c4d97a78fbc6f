"""The streaming query: started, watched while it runs, and stopped between micro-batches."""

import gc
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.streaming.listener import StreamingQueryProgress
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream import failpoints
from fraudstream.failpoints import Failpoint, reach
from fraudstream.jobs.heartbeat import HEARTBEAT, State, beat
from fraudstream.ledger import gaps
from fraudstream.messages.contracts import QUERY
from fraudstream.messages.mapping.sources import topics_of
from fraudstream.settings import Settings
from fraudstream.settings.kafka import Role
from fraudstream.snapshots.folders import Snapshot
from spark_jobs import beginning
from spark_jobs.batch_size import BatchSize
from spark_jobs.checkpoint import Checkpoint, location
from spark_jobs.cluster import check_shared
from spark_jobs.fencing import Found, become_driver
from spark_jobs.pace import Pace
from spark_jobs.preparation import Preparation
from spark_jobs.processor import Processor
from spark_jobs.profiles import update_profiles
from spark_jobs.publisher import publish_left_over
from spark_jobs.recovery import Recovery
from spark_jobs.source import Reading, read_events

log = logging.getLogger("score_transactions")

POLL_SECONDS = 0.5
#: A stop waits so long for a pause between micro-batches; after it, the batch that runs is left to be repeated.
STOP_SECONDS = 20.0
PROGRESS_SECONDS = 60.0


def run_query(
    spark: SparkSession, settings: Settings, ready: Preparation, stop: threading.Event, starting_until: float
) -> None:
    """Runs the query until `stop` is set. Raises what made it fail; `starting_until` is as in `watch`."""
    stream, kafka = settings.stream, settings.kafka.as_role(Role.STREAM)
    failpoints.arm(stream.failpoints)
    checkpoint = Checkpoint(spark, location(settings.checkpoint, ready.generation))
    if not str(spark.sparkContext.master).startswith("local"):
        check_shared(spark, checkpoint.location, settings.cluster)
    ready.scoring_data.warm_workers(spark)
    planned = checkpoint.last_planned()
    found = Found(ready.generation, planned, checkpoint.location)
    reach(Failpoint.BEFORE_FENCING)
    driver = become_driver(ready.database.now(), settings, found, lambda: gaps.look(kafka, topics_of(ready.sources)))
    reach(Failpoint.AFTER_FENCING)
    log.info("driver %s, epoch %s, on %s", driver.name, driver.epoch, spark.sparkContext.master)
    publish_left_over(ready.database.now(), ready.publisher)
    recovery = Recovery(
        settings, ready.database, driver, checkpoint, had_checkpoint=planned is not None, sources=ready.sources
    )
    recovery.check()
    processor = Processor(ready, checkpoint, driver, settings.shop, stream.failpoints)
    run = Run(spark, settings, processor, recovery, stop, starting_until)
    if ready.snapshot and beginning.is_first(planned):
        # Only the first micro-batch reads it; without it, the plan of each later one is shorter.
        run.until(
            lambda: not beginning.is_first(checkpoint.last_planned()), beginning.open_snapshot(settings, ready.snapshot)
        )
        checkpoint.drop(beginning.COPY)
    if not stop.is_set():
        run.until(lambda: False)


@dataclass(frozen=True)
class Run:
    """The query of a driver, which may be stopped and started again. `starting_until` is as in `watch`."""

    spark: SparkSession
    settings: Settings
    processor: Processor
    recovery: Recovery
    stop: threading.Event
    starting_until: float

    def until(self, done: Callable[[], bool], snapshot: Snapshot | None = None) -> None:
        """Runs the query, on a new checkpoint from `snapshot` on, until it is `done` or told to stop.

        Raises what made it fail.
        """
        processor, heartbeat = self.processor, self.settings.paths.stream / HEARTBEAT
        pace = Pace(self.settings.stream.trigger_seconds, self.stop)
        try:
            query = self._start(pace, snapshot)
        except (Py4JJavaError, PySparkException) as error:
            raise self.recovery.ended_by(error, batch_begun=processor.begun) from error
        gc.freeze()  # what the libraries made isn't walked through by `watch`'s collections
        if not watch(query, processor, pace, heartbeat, self.stop, self.starting_until, done):
            raise self.recovery.ended_by(processor.error or query.exception(), batch_begun=processor.begun)
        if self.stop.is_set():
            beat(heartbeat, State.STOPPING)
        stop_between_batches(query, processor)

    def _start(self, pace: Pace, snapshot: Snapshot | None) -> StreamingQuery:
        """Both halves of the plan: the stateful one here, the stateless one in each micro-batch (`Processor`)."""
        stream, checkpoint = self.settings.stream, self.recovery.checkpoint
        size, first_from, initial = BatchSize(stream.max_offsets_per_trigger), None, None
        driver, sources = self.recovery.driver, self.recovery.sources
        if snapshot:
            log.info("profiles begin with %s customers of snapshot %s", snapshot.manifest.customers, snapshot.name)
            first_from = beginning.starting_offsets(self.recovery.look(), snapshot.manifest.moment)
            initial = beginning.initial_buckets(self.spark, checkpoint, snapshot, stream.state_buckets)
        reading = Reading(sources, driver.begins, first_from)
        events = read_events(self.spark, self.settings, size, pace, reading)
        outcomes = update_profiles(events, self.settings, driver.resume, initial)
        query = (
            outcomes.writeStream.queryName(QUERY)
            .foreachBatch(self.processor)
            .option("checkpointLocation", checkpoint.location)
            .trigger(processingTime="0 seconds")  # `pace` says when
            .start()
        )
        size.follow(query)
        return query


def watch(
    query: StreamingQuery,
    processor: Processor,
    pace: Pace,
    heartbeat: Path,
    stop: threading.Event,
    starting_until: float,
    done: Callable[[], bool],
) -> bool:
    """Beats while the query makes progress, or waits for data, Postgres or a registry. A batch that hangs doesn't.

    The first micro-batch may take until `starting_until` (of `time.monotonic()`): it may be large, and nothing is warm.
    Returns True once `stop` is set or it is `done`, False when the query has ended before.
    """
    seen_batch, said = -1, time.monotonic()
    while not (stop.is_set() or done()):
        if not query.isActive:
            return False
        processor.look_around()
        last = processor.last
        batch_id = last.batch_id if last else -1
        idle = pace.is_idle and query.lastProgress is not None
        if idle or batch_id != seen_batch or processor.is_waiting:
            state = State.IDLE if idle else State.RUNNING
            beat(heartbeat, state, batch_id, progress_line(query, processor), processor.problem)
            seen_batch = batch_id
        elif last is None and time.monotonic() < starting_until:
            beat(heartbeat, State.STARTING)
        if time.monotonic() - said >= PROGRESS_SECONDS:
            log.info("%s", progress_line(query, processor))
            if progress := query.lastProgress:
                log.info("Spark's phases of the last trigger, ms: %s", progress["durationMs"])
                log.info("%s", state_line(progress))
            # A micro-batch's plan stays in the JVM until Python collects the cycle that refers to it.
            gc.collect()
            said = time.monotonic()
        stop.wait(POLL_SECONDS)
    return True


def progress_line(query: StreamingQuery, processor: Processor) -> str:
    """One line for people."""
    last, progress = processor.last, query.lastProgress
    if last is None:
        return "waiting for the first micro-batch"
    rate = progress["inputRowsPerSecond"] if progress else 0.0
    p50, _, p99, _ = last.latencies_ms or (0.0, 0.0, 0.0, 0.0)
    return (
        f"batch {last.batch_id}: {last.totals.scored} scored, {last.flagged} flagged, "
        f"{last.totals.dead_lettered} dead-lettered in {last.duration_ms:.0f} ms; "
        f"{rate:.0f} rows/s; Kafka to commit p50 {p50:.0f} ms, p99 {p99:.0f} ms; model {last.model_version}"
    )


def state_line(progress: StreamingQueryProgress) -> str:
    """The size of Spark's state: a row a bucket; RocksDB's memory; its files without their copy in the checkpoint."""
    operators = progress["stateOperators"]
    rows, memory = (sum(operator[name] for operator in operators) for name in ("numRowsTotal", "memoryUsedBytes"))
    files = sum(operator["customMetrics"].get("rocksdbSstFileSize", 0) for operator in operators)
    return f"state: {rows} rows, {memory} bytes of memory, {files} bytes of files"


def stop_between_batches(query: StreamingQuery, processor: Processor) -> None:
    """Stops the query in a pause; inside Python's part of a batch it could end in an error of Spark's own."""
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline and query.isActive and query.status["isTriggerActive"]:
        time.sleep(0.01)
    if processor.batch_lock.acquire(timeout=STOP_SECONDS):
        query.stop()
        processor.batch_lock.release()
    else:
        log.warning("a micro-batch is still running after %s s; it will be repeated at the next start", STOP_SECONDS)
