"""One micro-batch from end to end: run the query's plan, commit to Postgres, publish to Kafka."""

import logging
import threading
import time

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from fraudstream import failpoints
from fraudstream.failpoints import Failpoint, reach
from fraudstream.settings import ShopSettings
from spark_jobs import fencing, sink
from spark_jobs.checkpoint import Checkpoint
from spark_jobs.fencing import Driver
from spark_jobs.ledger import BatchRecord
from spark_jobs.preparation import Preparation
from spark_jobs.scoring import score, score_here

log = logging.getLogger(__name__)

#: A micro-batch of so many messages is scored in the driver: another stage of Python workers takes longer.
SCORED_HERE = 1_000


class Processor:
    """The query's `foreachBatch`, of a driver that has taken the query over.

    Spark calls it in a thread of its own; `error`, `last`, `begun` and `batch_lock` are for the thread that watches.
    """

    def __init__(
        self, ready: Preparation, checkpoint: Checkpoint, driver: Driver, shop: ShopSettings, armed: str
    ) -> None:
        """`armed` are the failpoints, driver's and workers'."""
        self._database = ready.database
        self._publisher = ready.publisher
        self._scoring_data = ready.scoring_data
        self._registries = ready.registries
        self._keeps_features = ready.keeps_features
        self._checkpoint = checkpoint
        self._driver = driver
        self._armed = armed
        self._shop = shop
        self.error: Exception | None = None
        self.last: BatchRecord | None = None
        self._started: float | None = None  # of the micro-batch at work, by `time.monotonic`
        self.begun = False  # whether Spark has come to a micro-batch, and so could read its checkpoint
        self.batch_lock = threading.Lock()  # held while a batch runs, so that a stop can wait for its end

    @property
    def is_waiting(self) -> bool:
        """True while a micro-batch waits for Postgres, or for a schema registry."""
        return bool(self._database.waiting or self._registries.waiting)

    @property
    def problem(self) -> str:
        """A sentence on what is wrong though the job goes on; empty when all is well."""
        waiting = self._database.waiting or self._registries.waiting
        return waiting or self._scoring_data.problem or failpoints.problem(self._armed)

    def look_around(self) -> None:
        """Looks at what a micro-batch that takes long may wait for; from the thread that watches."""
        started = self._started
        self._registries.look(0.0 if started is None else time.monotonic() - started)

    def __call__(self, outcomes: DataFrame, batch_id: int) -> None:
        """Processes one micro-batch; keeps its error, since Spark wraps what it raises in a traceback of its own."""
        with self.batch_lock:
            self.begun, self._started = True, time.monotonic()
            try:
                self._process(outcomes, batch_id)
            except Exception as error:
                self.error = error
                raise
            finally:
                self._started = None

    def _process(self, outcomes: DataFrame, batch_id: int) -> None:
        started = time.time()
        driver, patiently, spark = self._driver, self._database.patiently, outcomes.sparkSession
        planned = self._checkpoint.ranges(batch_id)
        ranges, batch_id = driver.clip(planned), driver.first_batch + batch_id
        name = f"batch {batch_id}"
        if batch_id == driver.repeats:
            patiently(name, lambda connection: fencing.begin_repeat(connection, driver))
        current = patiently(name, lambda connection: self._scoring_data.refresh(connection, spark))
        reach(Failpoint.BEFORE_PLAN)
        messages = sum(r.until - r.start for r in planned)
        table = self._score(outcomes, messages)
        reach(Failpoint.AFTER_PLAN)
        if not messages:
            return
        if unpriced := pc.sum(pc.is_nan(table["exchange_rate"])).as_py():
            log.warning("%s: %s transactions are in a currency without an exchange rate", name, unpriced)
        model, shadow = current.champion.model, current.challenger
        shadow_version = shadow.model.version if shadow else None
        batch = sink.Batch(
            batch_id=batch_id,
            ranges=ranges,
            model_version=model.version,
            threshold=model.threshold,
            static_version=current.static.version,
            started_at=started,
            challenger_version=shadow_version,
            shop=self._shop,
            policy=self._scoring_data.policy,
            keeps_features=self._keeps_features,
        )
        record = patiently(name, lambda connection: sink.commit(connection, driver, batch, table))
        reach(Failpoint.AFTER_COMMIT)
        if record is None:
            log.info("batch %s was committed before; nothing to do", batch_id)
            return
        patiently(name, lambda connection: self._publisher.publish(connection, batch_id))
        self.last = record

    def _score(self, outcomes: DataFrame, messages: int) -> pa.Table:
        """Runs the query's plan and scores what comes out: where that is, when it is little and the models are here.

        The one action on this plan: it also makes Spark keep the new state, so it runs for a repeated batch too.
        """
        data = self._scoring_data
        on_workers = data.on_workers(outcomes.sparkSession)
        if messages <= SCORED_HERE and data.scores_here:
            return score_here(outcomes.toArrow(), data.current.scoring_data(), data.policy.live)
        return score(outcomes, on_workers, self._armed).toArrow()
