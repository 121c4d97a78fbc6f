"""The driver's connection to Postgres: made anew when lost, and patient while Postgres is locked, full or read-only."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
from psycopg.errors import ReadOnlySqlTransaction

from fraudstream.errors import FraudstreamError
from fraudstream.settings import Settings
from fraudstream.storage import pooler
from fraudstream.storage.connect import connect, first_line
from spark_jobs import sink
from spark_jobs.ledger import Postgres

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5
#: How long a lost, locked or full Postgres is waited for in a batch, before the job fails and its supervisor retries.
PATIENCE_SECONDS = 300.0
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 4.0

Result = TypeVar("Result")


class PostgresLostError(FraudstreamError):
    """Postgres didn't take a micro-batch within PATIENCE_SECONDS; the batch is repeated at the next start."""


class Database:
    """The writer's one connection, with the temporary tables that batches are copied into."""

    def __init__(self, settings: Settings) -> None:
        """Connects. A start doesn't wait: raises PostgresUnavailableError, and TransactionPoolerError."""
        self._settings = settings
        self._connection = self._connect()
        self.waiting = ""  # what waits for Postgres, and why; empty otherwise

    def now(self) -> Postgres:
        """The connection, made anew if it was lost. Raises PostgresUnavailableError, TransactionPoolerError."""
        if self._connection.closed:
            self._connection = self._connect()
        return self._connection

    def patiently(self, name: str, work: Callable[[Postgres], Result]) -> Result:
        """Does `work`, and again while Postgres is lost, locked, full or read-only; `waiting` says why meanwhile.

        All work can be repeated: the ledger tells whether a lost commit went through, and what is published twice is
        the same twice. `name` is for messages. Raises PostgresLostError after PATIENCE_SECONDS.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        pause = FIRST_PAUSE_SECONDS
        try:
            while True:
                try:
                    return work(self.now())
                except (psycopg.OperationalError, ReadOnlySqlTransaction) as error:
                    problem = first_line(error)
                    if isinstance(error, ReadOnlySqlTransaction):
                        problem = f"the server is read-only, as a standby is after a failover ({problem})"
                        self._connection.close()  # a new connection reaches who is the primary by then
                    if time.monotonic() > deadline:
                        raise PostgresLostError(
                            f"Postgres didn't take {name} for {PATIENCE_SECONDS:.0f} s ({problem}): look for "
                            "locks and a full disk; it is repeated at the next start"
                        ) from error
                    self.waiting = f"{name} waits for Postgres: {problem}"
                    log.warning("%s", self.waiting)
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        finally:
            self.waiting = ""

    def _connect(self) -> Postgres:
        writer = self._settings.postgres.writer
        pooler.refuse(self._settings, writer)
        connection = connect(
            self._settings,
            writer,
            name="fraud_scoring_stream",
            timeout=CONNECT_SECONDS,
            autocommit=True,
        )
        sink.prepare(connection)
        return connection
