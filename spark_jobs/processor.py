"""One micro-batch from end to end: run the query's plan, commit to Postgres, publish to Kafka."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psycopg
from pyspark.sql import DataFrame, SparkSession

from fraudstream import failpoints
from fraudstream.errors import FraudstreamError
from fraudstream.failpoints import Failpoint, reach
from fraudstream.ledger import gaps as continuity
from fraudstream.ledger import rebuild
from fraudstream.messages.contracts import QUERY
from fraudstream.settings import Settings
from fraudstream.settings.kafka import Role
from fraudstream.storage.connect import connect
from spark_jobs import fencing as takeover
from spark_jobs import ledger, sink
from spark_jobs.checkpoint import Checkpoint
from spark_jobs.ledger import BatchRecord, Driver, Postgres
from spark_jobs.publisher import Publisher
from spark_jobs.scoring import score
from spark_jobs.scoring_data import Resources

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5
#: How long a lost, locked or full Postgres is waited for in a batch, before the job fails and its supervisor retries.
PATIENCE_SECONDS = 300.0
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 4.0

Result = TypeVar("Result")


class PostgresLostError(FraudstreamError):
    """Postgres didn't take a micro-batch within PATIENCE_SECONDS; the batch is repeated at the next start."""


class Processor:
    """The query's `foreachBatch`. Owns the driver's connection to Postgres and its Kafka producer."""

    def __init__(self, settings: Settings) -> None:
        """Reads what is needed for scoring. Raises FraudstreamError when there is no model that can be used."""
        failpoints.arm(settings.stream.failpoints)
        self._settings = settings
        self._publisher = Publisher(settings.kafka)
        self._connection = self._connect()
        self._resources = Resources(shadow=settings.stream.shadow)
        self._resources.start(self._connection)
        #: Of the checkpoint to use; a rebuild starts another one.
        self.generation = takeover.known_query(self._connection).generation
        self._checkpoint: Checkpoint | None = None
        self._driver: Driver | None = None
        #: Whether Spark has still to show that it can read a checkpoint that isn't new.
        self.resuming = False
        self.waiting = ""  # for what, while a micro-batch can't go on; empty otherwise
        self.error: Exception | None = None
        self.last: BatchRecord | None = None
        self.batch_lock = threading.Lock()  # held while a batch runs, so that a stop can wait for its end

    def start(self, spark: SparkSession, checkpoint: Checkpoint) -> Driver:
        """Takes the query over, and publishes what an earlier driver left unpublished."""
        self._resources.warm_workers(spark)
        self._checkpoint = checkpoint
        planned = checkpoint.last_planned()
        self.resuming = planned is not None
        reach(Failpoint.BEFORE_TAKE_OVER)
        self._driver = takeover.take_over(
            self._connection,
            self._settings.stream,
            lambda: continuity.look(self._settings.kafka.as_role(Role.STREAM)),
            self.generation,
            planned,
            checkpoint.location,
        )
        reach(Failpoint.AFTER_TAKE_OVER)
        for batch_id in ledger.unpublished(self._connection):
            log.info("publishing batch %s, which an earlier driver committed", batch_id)
            self._publisher.publish(self._connection, batch_id)
        return self._driver

    @property
    def driver(self) -> Driver:
        """The process's own place in the order of drivers; after `start`."""
        assert self._driver is not None  # noqa: S101 (start() comes first)
        return self._driver

    def rebuild_if_exact(self) -> str:
        """Starts the state anew when Kafka still holds all that it was made of. Returns what was done, or why not.

        Raises FencedError when another driver has taken over: the checkpoint is its own.
        """
        self._patiently("a rebuild", lambda: ledger.beat(self._connection, self.driver))
        view = continuity.look(self._settings.kafka.as_role(Role.STREAM))
        what = self._patiently("a rebuild", lambda: rebuild.plan(self._connection, view))
        if not what.exact:
            return f"Kafka doesn't hold all {what.forgotten} messages that it was made of: ./fraudctl rebuild"
        generation = rebuild.apply(self._connection, QUERY, what)
        return f"the next start makes it anew (generation {generation}) from {what.reread} messages in Kafka"

    def forgive(self) -> None:
        """Takes back that a repeated batch failed: it isn't to blame."""
        with suppress(psycopg.OperationalError):
            if self._connection.closed:
                self._connection = self._connect()
            rebuild.forget_crashes(self._connection, QUERY)

    @property
    def problem(self) -> str:
        """What is wrong though the job goes on; empty when all is well."""
        return self.waiting or self._resources.problem or failpoints.problem(self._settings.stream.failpoints)

    def __call__(self, outcomes: DataFrame, batch_id: int) -> None:
        """Processes one micro-batch; keeps its error, since Spark wraps what it raises in a traceback of its own."""
        with self.batch_lock:
            self.resuming = False
            try:
                self._process(outcomes, batch_id)
            except Exception as error:
                self.error = error
                raise

    def _process(self, outcomes: DataFrame, batch_id: int) -> None:
        assert self._checkpoint is not None  # noqa: S101 (start() comes first)
        started = time.time()
        planned = self._checkpoint.ranges(batch_id)
        ranges, batch_id = self.driver.clip(planned), self.driver.first_batch + batch_id
        name = f"batch {batch_id}"
        if batch_id == self.driver.repeats:
            self._patiently(name, lambda: takeover.begin_repeat(self._connection, self.driver))
        spark = outcomes.sparkSession
        current = self._patiently(name, lambda: self._resources.refresh(self._connection, spark))
        reach(Failpoint.BEFORE_PLAN)
        # The one action on this plan: it also makes Spark keep the new state, so it runs for a repeated batch too.
        on_workers = self._resources.on_workers(spark)
        table = score(outcomes, on_workers, self._settings.stream.failpoints).toArrow()
        reach(Failpoint.AFTER_PLAN)
        if not any(r.until > r.start for r in planned):
            return
        model, shadow = current.champion.model, current.challenger
        shadow_version = shadow.model.version if shadow else None
        batch = sink.Batch(
            batch_id, ranges, model.version, model.threshold, current.static.version, started, shadow_version
        )
        record = self._patiently(name, lambda: sink.commit(self._connection, self.driver, batch, table))
        reach(Failpoint.AFTER_COMMIT)
        if record is None:
            log.info("batch %s was committed before; nothing to do", batch_id)
            return
        self._patiently(name, lambda: self._publisher.publish(self._connection, batch_id))
        self.last = record

    def _patiently(self, name: str, work: Callable[[], Result]) -> Result:
        """Does `work`, and again while Postgres is lost, locked or full; the heartbeat goes on, and says why.

        All work can be repeated: the ledger tells whether a lost commit went through, and what is published twice is
        the same twice. `name` is for messages. Raises PostgresLostError after PATIENCE_SECONDS.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        pause = FIRST_PAUSE_SECONDS
        try:
            while True:
                try:
                    if self._connection.closed:
                        self._connection = self._connect()
                    return work()
                except psycopg.OperationalError as error:
                    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                    if time.monotonic() > deadline:
                        raise PostgresLostError(
                            f"Postgres didn't take {name} for {PATIENCE_SECONDS:.0f} s ({reason}): look for "
                            "locks and a full disk; it is repeated at the next start"
                        ) from error
                    self.waiting = f"{name} waits for Postgres: {reason}"
                    log.warning("%s", self.waiting)
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        finally:
            self.waiting = ""

    def _connect(self) -> Postgres:
        connection = connect(
            self._settings,
            self._settings.postgres.writer,
            name="fraud_scoring_stream",
            timeout=CONNECT_SECONDS,
            autocommit=True,
        )
        sink.prepare(connection)
        return connection
