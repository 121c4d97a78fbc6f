"""The end of a query that failed: what can be done without a person is done, and one error says the rest.

A failure that may come from a damaged checkpoint leaves a note in it, and the driver ends. The next one, a new process
with descriptors and memory of its own, reads the checkpoint whole before it uses it (`Recovery.check`): what can't be
read then is damaged, and the state is made anew; what can be read is gone on from.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import psycopg
from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException

from fraudstream.errors import FraudstreamError
from fraudstream.ledger import gaps, rebuild
from fraudstream.ledger.gaps import KafkaView
from fraudstream.ledger.rebuild import Find, Plan
from fraudstream.messages.contracts import QUERY
from fraudstream.messages.mapping.sources import LiveSource, topics_of
from fraudstream.settings import Settings
from fraudstream.settings.kafka import KafkaSettings, Role
from fraudstream.snapshots.folders import newest_usable
from model.features.profile import PROFILE_LAYOUT
from spark_jobs import fencing
from spark_jobs.checkpoint import Checkpoint, CheckpointError
from spark_jobs.database import Database
from spark_jobs.failures import is_damage, is_transient, may_be_damage, root_cause
from spark_jobs.fencing import Driver

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recovery:
    """A driver's last acts. `had_checkpoint` is False for a query that was new."""

    settings: Settings
    database: Database
    driver: Driver
    checkpoint: Checkpoint
    had_checkpoint: bool
    sources: Sequence[LiveSource] = ()

    def look(self) -> KafkaView:
        """The topics that the stream reads, as Kafka holds them now. Raises KafkaUnavailableError."""
        return gaps.look(self.kafka, topics_of(self.sources))

    @property
    def kafka(self) -> KafkaSettings:
        """Kafka, signed in as the stream."""
        return self.settings.kafka.as_role(Role.STREAM)

    def check(self) -> None:
        """Reads the checkpoint whole when an earlier driver suspected it; what can be read is trusted again.

        Raises FraudstreamError when it is damaged, after a rebuild was noted where that is exact, and when something
        else keeps it from being read; FencedError when another driver has taken over.
        """
        suspicion = self.checkpoint.suspicion()
        if suspicion is None:
            return
        log.warning("an earlier driver suspected the checkpoint (%s): it is read whole", suspicion)
        try:
            self.checkpoint.read_whole()
        except (CheckpointError, Py4JJavaError, PySparkException) as error:
            if is_damage(error):
                raise FraudstreamError(
                    f"the checkpoint is damaged ({root_cause(error)}); {self._rebuild_if_exact()}"
                ) from error
            raise FraudstreamError(f"the checkpoint can't be read now: {root_cause(error)}") from error
        self.checkpoint.trust()
        log.warning("every file of the checkpoint could be read: it isn't damaged")

    def ended_by(self, failure: BaseException | None, *, batch_begun: bool) -> FraudstreamError:
        """The error to end with: our own where there is one, or else the first line of Spark's.

        `batch_begun`: Spark came to a micro-batch, and so could read its checkpoint. Raises FencedError when another
        driver has taken over.
        """
        if is_transient(failure):
            self._forget_crashes()
        if may_be_damage(failure, resuming=self.had_checkpoint and not batch_begun):
            log.error("the query failed", exc_info=failure)
            return FraudstreamError(f"the checkpoint may be damaged ({root_cause(failure)}); {self._suspect(failure)}")
        if isinstance(failure, FraudstreamError):
            return failure
        log.error("the query failed", exc_info=failure)
        return FraudstreamError(f"the query ended: {root_cause(failure)}")

    def _forget_crashes(self) -> None:
        """Takes back that a repeated batch failed: it isn't to blame."""
        with suppress(psycopg.OperationalError):
            rebuild.forget_crashes(self.database.now(), QUERY)

    def _suspect(self, failure: BaseException | None) -> str:
        """Leaves a note for the next driver; returns words for what it will do."""
        try:
            self.checkpoint.suspect(root_cause(failure))
        except Py4JError as error:  # as where descriptors or space are short
            return f"the next start goes on, since this can't be noted: {root_cause(error)}"
        return "the next start reads it whole, and makes it anew if a file can't be read"

    def _rebuild_if_exact(self) -> str:
        """Starts the state anew when snapshot and Kafka still hold all that it was made of; returns what follows.

        Raises FencedError when another driver has taken over: the checkpoint is its own.
        """
        self.database.patiently("a rebuild", lambda connection: fencing.beat(connection, self.driver))
        view, paths = self.look(), self.settings.paths
        find = partial(newest_usable, paths.snapshots, PROFILE_LAYOUT, self.settings.shop.currency)
        what = self._planned(view, find)
        if not what.exact and what.snapshot:
            what = self._planned(view, None)
        if not what.exact:
            return "no snapshot and Kafka together hold all that it was made of: ./fraudctl rebuild"
        generation = rebuild.apply(self.database.now(), QUERY, what)
        begin = f"the snapshot {what.snapshot.name} and " if what.snapshot else ""
        return f"the next start makes it anew (generation {generation}) from {begin}{what.reread} messages in Kafka"

    def _planned(self, view: KafkaView, find: Find | None) -> Plan:
        return self.database.patiently("a rebuild", lambda connection: rebuild.plan(connection, view, find))
