"""The streaming job: scores every transaction as it arrives, with what is known of its session and its customer.

    python -m spark_jobs.score_transactions --master 'local[2,4]'

Stops between micro-batches on SIGTERM or SIGINT, with exit code 0. Any failure ends it with a non-zero code and one
clear line; its supervisor (the Dag `fraud_scoring_stream`) starts it again, and it goes on where the ledger ends.
"""

import argparse
import logging
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.errors import FraudstreamError
from fraudstream.heartbeat import State, beat
from fraudstream.settings import Settings, load_settings
from spark_jobs.checkpoint import Checkpoint
from spark_jobs.ledger import QUERY
from spark_jobs.processor import Processor
from spark_jobs.profiles import update_profiles
from spark_jobs.session import build_session
from spark_jobs.source import read_events

log = logging.getLogger("score_transactions")

POLL_SECONDS = 0.5
#: A stop waits so long for a pause between micro-batches; after it, the batch that runs is left to be repeated.
STOP_SECONDS = 20.0
PROGRESS_SECONDS = 60.0


def main() -> int:
    """Runs the job until it is told to stop. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="score_transactions", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--master", default="local[2,4]", help="Spark master: local[2,4], spark://host:7077, yarn, k8s://…"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stdout)
    logging.getLogger("py4j").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: _request_stop(stop, _number, _frame))
    try:
        settings = load_settings()
        run(settings, arguments.master, stop)
    except FraudstreamError as error:
        log.error("%s", error)
        return 1
    return 0


def run(settings: Settings, master: str, stop: threading.Event) -> None:
    """Starts Spark and the query, and watches it until `stop` is set. Raises what made the query fail."""
    heartbeat = settings.paths.stream / "heartbeat.json"
    starting_until = time.monotonic() + settings.stream.startup_timeout_seconds
    spark = build_session(settings, master)
    try:
        checkpoint = Checkpoint(spark, str(settings.paths.checkpoint))
        processor = Processor(spark, settings, checkpoint)
        driver = processor.start()
        log.info("driver %s, epoch %s, on %s", driver.name, driver.epoch, master)
        query = start_query(spark, settings, processor, checkpoint)
        watch(query, processor, heartbeat, stop, starting_until)
        beat(heartbeat, State.STOPPING)
        stop_between_batches(query, processor)
        log.info("stopped")
    finally:
        spark.stop()


def start_query(
    spark: SparkSession, settings: Settings, processor: Processor, checkpoint: Checkpoint
) -> StreamingQuery:
    """Both halves of the plan: the stateful one here, the stateless one in each micro-batch (`Processor`)."""
    outcomes = update_profiles(read_events(spark, settings), settings.stream)
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
    """Beats while the query makes progress or waits for data; a batch that hangs leaves the heartbeat to grow old.

    The first micro-batch may take until `starting_until` (of `time.monotonic()`): it may be large, and nothing is warm.
    """
    seen_batch, said = -1, time.monotonic()
    while not stop.is_set():
        _check(query, processor)
        last = processor.last
        batch_id = last.batch_id if last else -1
        idle = not query.status["isTriggerActive"] and query.lastProgress is not None
        if idle or batch_id != seen_batch:
            beat(heartbeat, State.IDLE if idle else State.RUNNING, batch_id, progress_line(query, processor))
            seen_batch = batch_id
        elif last is None and time.monotonic() < starting_until:
            beat(heartbeat, State.STARTING)
        if time.monotonic() - said >= PROGRESS_SECONDS:
            log.info("%s", progress_line(query, processor))
            if progress := query.lastProgress:
                log.info("Spark's phases of the last trigger, ms: %s", progress["durationMs"])
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
    if isinstance(processor.error, FraudstreamError):
        raise processor.error
    cause = query.exception()
    log.error("the query failed", exc_info=processor.error or cause)
    shown = str(processor.error or cause or "no reason given").strip().splitlines()
    raise FraudstreamError(f"the query ended: {shown[0] if shown else type(processor.error).__name__}")


def _request_stop(stop: threading.Event, number: int, _frame: FrameType | None) -> None:
    log.info("received %s, stopping after the current micro-batch", signal.Signals(number).name)
    stop.set()


if __name__ == "__main__":
    try:
        code = main()
    except PySparkException as failure:
        log.error("Spark failed: %s", str(failure).splitlines()[0])
        code = 1
    sys.exit(code)
