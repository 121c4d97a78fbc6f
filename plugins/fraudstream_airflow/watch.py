"""The operator of watch_platform: reads, checks, keeps incidents, and tells people."""

from functools import partial
from typing import Any

from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers.common.sql.operators.sql import BaseSQLOperator
from airflow.sdk import Context

from fraudstream.kafka.errors import KafkaUnavailableError
from fraudstream.settings import Settings, load_settings
from fraudstream.storage.connect import Postgres, session
from fraudstream.watch import incidents, readings
from fraudstream.watch.checks import CHECKS, Check, Fault, Severity, faults, parameters
from fraudstream_airflow import deadlines, notify
from fraudstream_airflow.ledger_hook import LedgerHook

#: Kafka's silence is a fault, too, and no other check sees it.
KAFKA = "kafka"


class WatchPlatformOperator(BaseSQLOperator):
    """Runs every check once. A fault is an incident and no failure: the task fails when it couldn't check or tell.

    One process for all of them: a task each would cost more than the stream does.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Returns what is open, opened and closed, for the run's XCom."""
        settings = load_settings()
        with session(settings, settings.postgres.writer, name="watch_platform") as connection:
            found = self._read(settings, connection)
            connection.commit()
            for check in CHECKS:
                found += self._faults(check, settings)
            with connection.transaction():
                seen = incidents.see(connection, found)
                sources = [*(check.name for check in CHECKS), KAFKA]
                closed = incidents.close(connection, sources, seen, settings.watch.quiet_seconds)
                closed += incidents.close(connection, [deadlines.DEADLINE], seen, deadlines.QUIET_SECONDS)
            told = incidents.tell(connection, partial(notify.send, settings)) if notify.is_on(settings) else 0
        for fault in found:
            self.log.warning("%s %s: %s", fault.source, fault.subject, fault.text)
        return {
            "faults": [f"{fault.source} {fault.subject}".strip() for fault in found],
            "closed": closed,
            "told": told,
        }

    def get_db_hook(self) -> DbApiHook:
        """The platform's database, which is no connection of Airflow's."""
        return LedgerHook(load_settings())

    def _faults(self, check: Check, settings: Settings) -> list[Fault]:
        return faults(check, self.get_db_hook().get_records(check.sql, parameters(settings)))

    def _read(self, settings: Settings, connection: Postgres) -> list[Fault]:
        """Keeps the readings; a Kafka that doesn't answer is a fault, and the other readings are kept."""
        found, lacking = [*readings.local(settings), *readings.ledger(connection)], []
        try:
            found += readings.lag(settings, connection)
        except KafkaUnavailableError as error:
            lacking = [Fault(KAFKA, "", Severity.CRITICAL, str(error))]
        readings.keep(connection, found, settings.watch.readings_days)
        return lacking
