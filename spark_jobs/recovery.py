"""The end of a query that failed: what can be done without a person is done, and one error says the rest."""

import logging
from contextlib import suppress
from dataclasses import dataclass

import psycopg

from fraudstream.errors import FraudstreamError
from fraudstream.ledger import gaps, rebuild
from fraudstream.messages.contracts import QUERY
from fraudstream.settings.kafka import KafkaSettings
from spark_jobs import fencing
from spark_jobs.database import Database
from spark_jobs.failures import is_damaged_checkpoint, is_transient, root_cause
from spark_jobs.fencing import Driver

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recovery:
    """A driver's last acts. `kafka` signs in as the stream; `had_checkpoint` is False for a query that was new."""

    kafka: KafkaSettings
    database: Database
    driver: Driver
    had_checkpoint: bool

    def ended_by(self, failure: BaseException | None, *, batch_begun: bool) -> FraudstreamError:
        """The error to end with: our own where there is one, or else the first line of Spark's.

        `batch_begun`: Spark came to a micro-batch, and so could read its checkpoint. Raises FencedError when another
        driver has taken over.
        """
        if is_transient(failure):
            self._forget_crashes()
        if is_damaged_checkpoint(failure, resuming=self.had_checkpoint and not batch_begun):
            log.error("the query failed", exc_info=failure)
            return FraudstreamError(f"the checkpoint is damaged ({root_cause(failure)}); {self._rebuild_if_exact()}")
        if isinstance(failure, FraudstreamError):
            return failure
        log.error("the query failed", exc_info=failure)
        return FraudstreamError(f"the query ended: {root_cause(failure)}")

    def _forget_crashes(self) -> None:
        """Takes back that a repeated batch failed: it isn't to blame."""
        with suppress(psycopg.OperationalError):
            rebuild.forget_crashes(self.database.now(), QUERY)

    def _rebuild_if_exact(self) -> str:
        """Starts the state anew when Kafka still holds all that it was made of; returns words for what follows.

        Raises FencedError when another driver has taken over: the checkpoint is its own.
        """
        self.database.patiently("a rebuild", lambda connection: fencing.beat(connection, self.driver))
        view = gaps.look(self.kafka)
        what = self.database.patiently("a rebuild", lambda connection: rebuild.plan(connection, view))
        if not what.exact:
            return f"Kafka doesn't hold all {what.forgotten} messages that it was made of: ./fraudctl rebuild"
        generation = rebuild.apply(self.database.now(), QUERY, what)
        return f"the next start makes it anew (generation {generation}) from {what.reread} messages in Kafka"
