"""The operator of watch_platform: reads, checks, keeps incidents, and tells people."""

from functools import partial
from typing import Any

import psycopg
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers.common.sql.operators.sql import BaseSQLOperator
from airflow.sdk import Context

from fraudstream.kafka.errors import KafkaUnavailableError
from fraudstream.policy import versions
from fraudstream.policy.errors import PolicyError
from fraudstream.settings import Settings, load_settings
from fraudstream.storage.connect import Postgres, first_line, session
from fraudstream.watch import incidents, readings
from fraudstream.watch.checks import CHECKS, Check, Fault, Severity, faults, parameters
from fraudstream_airflow import deadlines, notify
from fraudstream_airflow.ledger_hook import LedgerHook

#: Kafka's silence is a fault, too, and no other check sees it.
KAFKA = "kafka"
#: The stream goes on without a policy that can't be read; SQL can't tell whether one can.
POLICY = "policy"
#: A check that fails is a fault, too, and says nothing of those that it found before.
UNCHECKED = "unchecked"


class WatchPlatformOperator(BaseSQLOperator):
    """Runs every check once. A fault is an incident and no failure: the task fails when it couldn't check or tell.

    One process for all of them: a task each would cost more than the stream does.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Returns the faults, the incidents that were closed, and how many were told, for the XCom."""
        settings = load_settings()
        with session(settings, settings.postgres.writer, name="watch_platform") as connection:
            found = [*self._read(settings, connection), *_policy(connection)]
            connection.commit()
            hook = self.get_db_hook()
            for check in CHECKS:
                found += _faults(hook, check, settings)
            for fault in found:
                self.log.warning("%s %s: %s", fault.source, fault.subject, fault.text)
            with connection.transaction():
                seen = incidents.see(connection, found)
                unchecked = {fault.subject for fault in found if fault.source == UNCHECKED}
                sources = [*({check.name for check in CHECKS} - unchecked), KAFKA, POLICY, UNCHECKED]
                closed = incidents.close(connection, sources, seen, settings.watch.quiet_seconds)
                closed += incidents.close(connection, [deadlines.DEADLINE], seen, deadlines.QUIET_SECONDS)
            told = incidents.tell(connection, partial(notify.send, settings)) if notify.is_on(settings) else 0
        return {
            "faults": [f"{fault.source} {fault.subject}".strip() for fault in found],
            "closed": closed,
            "told": told,
        }

    def get_db_hook(self) -> DbApiHook:
        """The platform's database, which is no connection of Airflow's."""
        return LedgerHook(load_settings())

    def _read(self, settings: Settings, connection: Postgres) -> list[Fault]:
        """Keeps the readings; a file that can't be read, and a Kafka that doesn't answer, are faults beside them."""
        found, unread = readings.local(settings)
        lacking = [Fault(UNCHECKED, check, Severity.WARNING, f"can't be read: {why}") for check, why in unread.items()]
        found += readings.ledger(connection)
        try:
            found += readings.lag(settings, connection)
        except KafkaUnavailableError as error:
            lacking += [Fault(KAFKA, "", Severity.CRITICAL, str(error))]
        readings.keep(connection, found, settings.watch.readings_days)
        return lacking


def _policy(connection: Postgres) -> list[Fault]:
    """That the policy at work can't be read."""
    try:
        versions.at_work(connection)
    except PolicyError as error:
        text = f"the version to be at work can't be read, and the stream goes on without it: {error}"
        return [Fault(POLICY, "", Severity.WARNING, text)]
    return []


def _faults(hook: DbApiHook, check: Check, settings: Settings) -> list[Fault]:
    """What a check finds, or that it failed, as with a table that grew too large for it."""
    try:
        return faults(check, hook.get_records(check.sql, parameters(settings)))
    except psycopg.Error as error:
        return [Fault(UNCHECKED, check.name, Severity.WARNING, f"the check failed: {first_line(error)}")]
