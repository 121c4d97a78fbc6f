"""One micro-batch from end to end: run the query's plan, commit to Postgres, publish to Kafka."""

import logging
import threading
import time
from contextlib import suppress

import psycopg
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from fraudstream import failpoints
from fraudstream.failpoints import Failpoint, reach
from fraudstream.settings import Settings
from spark_jobs import ledger, sink
from spark_jobs.checkpoint import Checkpoint
from spark_jobs.ledger import BatchRecord, Driver, Postgres
from spark_jobs.publisher import Publisher
from spark_jobs.resources import Resources
from spark_jobs.scoring import score

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5
#: How long a lost Postgres is waited for within a batch, before the job fails and its supervisor retries.
RETRY_SECONDS = 45


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
        self._checkpoint: Checkpoint | None = None
        self._driver: Driver | None = None
        self.error: Exception | None = None
        self.last: BatchRecord | None = None
        self.batch_lock = threading.Lock()  # held while a batch runs, so that a stop can wait for its end

    def start(self, spark: SparkSession, checkpoint: Checkpoint) -> Driver:
        """Takes the query over, and publishes what an earlier driver left unpublished."""
        self._resources.warm_workers(spark)
        self._checkpoint = checkpoint
        planned = checkpoint.last_planned()
        reach(Failpoint.BEFORE_TAKE_OVER)
        self._driver = ledger.take_over(self._connection, self._settings.stream, planned, checkpoint.location)
        reach(Failpoint.AFTER_TAKE_OVER)
        for batch_id in ledger.unpublished(self._connection):
            log.info("publishing batch %s, which an earlier driver committed", batch_id)
            self._publisher.publish(self._connection, batch_id)
        return self._driver

    @property
    def problem(self) -> str:
        """What is wrong though the job goes on; empty when all is well."""
        return self._resources.problem or failpoints.problem(self._settings.stream.failpoints)

    def __call__(self, outcomes: DataFrame, batch_id: int) -> None:
        """Processes one micro-batch; keeps its error, since Spark wraps what it raises in a traceback of its own."""
        with self.batch_lock:
            try:
                self._process(outcomes, batch_id)
            except Exception as error:
                self.error = error
                raise

    def _process(self, outcomes: DataFrame, batch_id: int) -> None:
        assert self._checkpoint is not None  # noqa: S101 (start() comes first)
        started = time.time()
        ranges = self._checkpoint.ranges(batch_id)
        connection = self._connection = self._alive(self._connection)
        spark = outcomes.sparkSession
        current = self._resources.refresh(connection, spark)
        reach(Failpoint.BEFORE_PLAN)
        # The one action on this plan: it also makes Spark keep the new state, so it runs for a repeated batch too.
        on_workers = self._resources.on_workers(spark)
        table = score(outcomes, on_workers, self._settings.stream.failpoints).toArrow()
        reach(Failpoint.AFTER_PLAN)
        if not any(r.until > r.start for r in ranges):
            return
        model, shadow = current.champion.model, current.challenger
        shadow_version = shadow.model.version if shadow else None
        batch = sink.Batch(
            batch_id, ranges, model.version, model.threshold, current.static.version, started, shadow_version
        )
        record = self._commit(batch, table)
        reach(Failpoint.AFTER_COMMIT)
        if record is None:
            log.info("batch %s was committed before; nothing to do", batch_id)
            return
        self._publisher.publish(self._connection, batch_id)
        self.last = record

    def _commit(self, batch: sink.Batch, table: pa.Table) -> BatchRecord | None:
        """Commits, and again when Postgres was lost: the ledger tells whether the first try went through."""
        assert self._driver is not None  # noqa: S101 (start() comes first)
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                return sink.commit(self._connection, self._driver, batch, table)
            except psycopg.OperationalError as error:
                if not self._connection.closed or time.monotonic() > deadline:
                    raise
                log.warning("lost Postgres in batch %s, connecting again: %s", batch.batch_id, error)
                self._connection = self._reconnect(deadline)

    def _alive(self, connection: Postgres) -> Postgres:
        with suppress(psycopg.OperationalError):
            connection.execute("SELECT 1")
        return connection if not connection.closed else self._reconnect(time.monotonic() + RETRY_SECONDS)

    def _reconnect(self, deadline: float) -> Postgres:
        while True:
            try:
                return self._connect()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def _connect(self) -> Postgres:
        connection = psycopg.connect(
            self._settings.writer_dsn,
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            application_name="fraud_scoring_stream",
        )
        sink.prepare(connection)
        return connection
