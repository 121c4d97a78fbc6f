"""One micro-batch from end to end: run the query's plan, commit to Postgres, publish to Kafka."""

import logging
import threading
import time
from contextlib import suppress

import psycopg
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from fraudstream.contracts import QUERY
from fraudstream.settings import Settings
from fraudstream.storage import continuity, rebuild
from spark_jobs import ledger, sink, takeover
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
        self._settings = settings
        self._publisher = Publisher(settings.kafka)
        self._connection = self._connect()
        self._resources = Resources(shadow=settings.stream.shadow)
        self._resources.start(self._connection)
        self._view = continuity.look(settings.kafka)
        #: Of the checkpoint to use; a rebuild starts another one.
        self.generation = takeover.known_query(self._connection).generation
        self._checkpoint: Checkpoint | None = None
        self._driver: Driver | None = None
        self.error: Exception | None = None
        self.last: BatchRecord | None = None
        self.batch_lock = threading.Lock()  # held while a batch runs, so that a stop can wait for its end

    def start(self, spark: SparkSession, checkpoint: Checkpoint) -> Driver:
        """Takes the query over, and publishes what an earlier driver left unpublished."""
        self._resources.warm_workers(spark)
        self._checkpoint = checkpoint
        self._driver = takeover.take_over(
            self._connection,
            self._settings.stream,
            self._view,
            self.generation,
            checkpoint.last_planned(),
            checkpoint.location,
        )
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
        """Starts the state anew when Kafka still holds all that it was made of. Returns what was done, or why not."""
        self._connection = self._alive(self._connection)
        what = rebuild.plan(self._connection, continuity.look(self._settings.kafka))
        if not what.exact:
            return f"Kafka doesn't hold all {what.forgotten} messages that it was made of: ./fraudctl rebuild"
        generation = rebuild.apply(self._connection, QUERY, what)
        return f"the next start makes it anew (generation {generation}) from {what.replayed} messages in Kafka"

    def forgive(self) -> None:
        """Takes back that a repeated batch failed: it isn't to blame."""
        with suppress(psycopg.OperationalError):
            rebuild.forgive(self._connection, QUERY)

    @property
    def problem(self) -> str:
        """What is wrong though the job goes on; empty when all is well."""
        return self._resources.problem

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
        planned = self._checkpoint.ranges(batch_id)
        ranges, batch_id = self.driver.clip(planned), self.driver.first_batch + batch_id
        connection = self._connection = self._alive(self._connection)
        if batch_id == self.driver.repeats:
            takeover.begin_repeat(connection, self.driver)
        spark = outcomes.sparkSession
        current = self._resources.refresh(connection, spark)
        # The one action on this plan: it also makes Spark keep the new state, so it runs for a repeated batch too.
        table = score(outcomes, self._resources.on_workers(spark)).toArrow()
        if not any(r.until > r.start for r in planned):
            return
        model, shadow = current.champion.model, current.challenger
        shadow_version = shadow.model.version if shadow else None
        batch = sink.Batch(
            batch_id, ranges, model.version, model.threshold, current.static.version, started, shadow_version
        )
        record = self._commit(batch, table)
        if record is None:
            log.info("batch %s was committed before; nothing to do", batch_id)
            return
        self._publisher.publish(self._connection, batch_id)
        self.last = record

    def _commit(self, batch: sink.Batch, table: pa.Table) -> BatchRecord | None:
        """Commits, and again when Postgres was lost: the ledger tells whether the first try went through."""
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                return sink.commit(self._connection, self.driver, batch, table)
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
