"""The streaming job: scores every transaction as it arrives, with what is known of its session and its customer.

    python -m spark_jobs.score_transactions --master 'local[2,4]'

Stops between micro-batches on SIGTERM or SIGINT, with exit code 0. Any failure ends it with a non-zero code and one
clear line; its supervisor (the Dag `fraud_scoring_stream`) starts it again, and it goes on where the ledger ends.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException

from fraudstream.errors import FraudstreamError, RefusedError, ReplacedError, SettingsError
from fraudstream.jobs.heartbeat import HEARTBEAT, State, beat
from fraudstream.kafka import access as kafka_access
from fraudstream.kafka import topic_settings
from fraudstream.kafka.errors import KafkaUnavailableError
from fraudstream.kafka.sources import missing_sources
from fraudstream.messages.mapping.sources import LiveSource, SourceError, read_sources
from fraudstream.settings import Settings, load_settings
from fraudstream.settings.kafka import Role
from spark_jobs.planning import leave_out_needless_rules
from spark_jobs.session import build_session

if TYPE_CHECKING:
    from spark_jobs.preparation import Preparation

log = logging.getLogger("score_transactions")

#: How long a start waits for brokers: longer than the embedded one takes to come back.
KAFKA_SECONDS = 20.0
LOCAL = "local[2,4]"
#: Set by spark-submit for a Python driver whose JVM it has started.
SUBMITTED = "PYSPARK_GATEWAY_PORT"


def main() -> int:
    """Runs the job until it is told to stop. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="score_transactions", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--master", help="local[2,4], spark://host:7077, yarn, k8s://…; left out under spark-submit, which has its own"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stdout)
    logging.getLogger("py4j").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: _request_stop(stop, _number, _frame))
    try:
        settings = load_settings()
    except SettingsError as error:
        log.error("%s", error)
        return os.EX_CONFIG
    try:
        run(settings, arguments.master or (None if SUBMITTED in os.environ else LOCAL), stop)
    except FraudstreamError as error:
        log.error("%s", error)
        if not isinstance(error, ReplacedError):  # else the heartbeat is another driver's
            beat(settings.paths.stream / HEARTBEAT, State.FAILED, problem=str(error))
        return os.EX_CONFIG if isinstance(error, RefusedError | SettingsError) else 1
    return 0


def run(settings: Settings, master: str | None, stop: threading.Event) -> None:
    """Starts Spark and the query, and watches it until `stop` is set. Raises what made the query fail.

    Kafka is asked first, since Spark would say little of a wrong password or a missing right, and late.
    `master` None: the one that spark-submit was given.
    """
    sources = read_sources(settings.sources)
    _check_kafka(settings, sources)
    starting_until = time.monotonic() + settings.stream.startup_timeout_seconds
    with ThreadPoolExecutor(1) as loader:
        preparing = loader.submit(_prepare, settings, sources)
        spark = build_session(settings, master)
        try:
            leave_out_needless_rules(spark)
            ready = preparing.result()
            from spark_jobs.query import run_query

            run_query(spark, settings, ready, stop, starting_until)
            log.info("stopped")
        finally:
            spark.stop()


def _check_kafka(settings: Settings, sources: Sequence[LiveSource]) -> None:
    """Raises RefusedError when Kafka is away, too: its return isn't waited for by starting Spark again and again."""
    mapped = [source.topic for source in sources]
    try:
        kafka_access.check(settings.kafka, Role.STREAM, KAFKA_SECONDS, mapped=mapped)
        for missing in missing_sources(settings.kafka, sources, KAFKA_SECONDS):
            raise SourceError(missing)
        for unchecked in topic_settings.check(settings.kafka, KAFKA_SECONDS, mapped):
            log.warning("%s", unchecked)
    except KafkaUnavailableError as error:
        raise RefusedError(str(error)) from error


def _prepare(settings: Settings, sources: Sequence[LiveSource]) -> "Preparation":
    """The half of a start that needs no Spark. Imported here: that takes seconds, and the JVM comes up meanwhile."""
    from spark_jobs.preparation import prepare

    return prepare(settings, sources)


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
