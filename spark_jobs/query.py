"""The streaming query: started, watched while it runs, and stopped between micro-batches."""

import gc
import logging
import threading
import time
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.streaming.listener import StreamingQueryProgress
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.errors import FraudstreamError
from fraudstream.jobs.heartbeat import HEARTBEAT, State, beat
from fraudstream.messages.contracts import QUERY
from fraudstream.settings import Settings
from spark_jobs.checkpoint import Checkpoint, location
from spark_jobs.cluster import check_shared
from spark_jobs.failures import is_damaged_checkpoint, is_transient, root_cause
from spark_jobs.processor import Processor
from spark_jobs.profiles import update_profiles
from spark_jobs.source import read_events

log = logging.getLogger("score_transactions")

POLL_SECONDS = 0.5
#: A stop waits so long for a pause between micro-batches; after it, the batch that runs is left to be repeated.
STOP_SECONDS = 20.0
PROGRESS_SECONDS = 60.0


def run_query(
    spark: SparkSession, settings: Settings, processor: Processor, stop: threading.Event, starting_until: float
) -> None:
    """Runs the query until `stop` is set. Raises what made it fail; `starting_until` is as in `watch`."""
    heartbeat = settings.paths.stream / HEARTBEAT
    checkpoint = Checkpoint(spark, location(settings.checkpoint, processor.generation))
    if not str(spark.sparkContext.master).startswith("local"):
        check_shared(spark, checkpoint.location, settings.cluster)
    driver = processor.start(spark, checkpoint)
    log.info("driver %s, epoch %s, on %s", driver.name, driver.epoch, spark.sparkContext.master)
    try:
        query = start_query(spark, settings, processor, checkpoint)
    except (Py4JJavaError, PySparkException) as error:
        raise _ended_by(error, processor) from error
    gc.freeze()  # what the libraries made isn't walked through by `watch`'s collections
    watch(query, processor, heartbeat, stop, starting_until)
    beat(heartbeat, State.STOPPING)
    stop_between_batches(query, processor)


def start_query(
    spark: SparkSession, settings: Settings, processor: Processor, checkpoint: Checkpoint
) -> StreamingQuery:
    """Both halves of the plan: the stateful one here, the stateless one in each micro-batch (`Processor`)."""
    outcomes = update_profiles(read_events(spark, settings), settings, processor.driver.resume)
    return (
        outcomes.writeStream.queryName(QUERY)
        .foreachBatch(processor)
        .option("checkpointLocation", checkpoint.location)
        .trigger(processingTime=f"{settings.stream.trigger_seconds} seconds")
        .start()
    )


def watch(
    query: StreamingQuery, processor: Processor, heartbeat: Path, stop: threading.Event, starting_until: float
) -> None:
    """Beats while the query makes progress, or waits for data or Postgres; a batch that hangs lets the heartbeat age.

    The first micro-batch may take until `starting_until` (of `time.monotonic()`): it may be large, and nothing is warm.
    """
    seen_batch, said = -1, time.monotonic()
    while not stop.is_set():
        _check(query, processor)
        last = processor.last
        batch_id = last.batch_id if last else -1
        idle = not query.status["isTriggerActive"] and query.lastProgress is not None
        if idle or batch_id != seen_batch or processor.waiting:
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
    """How large Spark's state is: a row a bucket; RocksDB's memory; its files without their copy in the checkpoint."""
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


def _check(query: StreamingQuery, processor: Processor) -> None:
    """Raises what ended the query, if it ended: our own error where there is one, or else the first line of Spark's."""
    if query.isActive:
        return
    raise _ended_by(processor.error or query.exception(), processor)


def _ended_by(failure: BaseException | None, processor: Processor) -> FraudstreamError:
    """The error to end with; what can be done about `failure` without a person is done."""
    if is_transient(failure):
        processor.forgive()
    if is_damaged_checkpoint(failure, resuming=processor.resuming):
        log.error("the query failed", exc_info=failure)
        return FraudstreamError(f"the checkpoint is damaged ({root_cause(failure)}); {processor.rebuild_if_exact()}")
    if isinstance(failure, FraudstreamError):
        return failure
    log.error("the query failed", exc_info=failure)
    return FraudstreamError(f"the query ended: {root_cause(failure)}")
