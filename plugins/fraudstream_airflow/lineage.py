"""The operator that sends the stream's lineage, over the transport that Airflow's own provider has."""

from datetime import UTC, datetime, timedelta

from airflow.providers.openlineage import conf
from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from fraudstream.ledger import lineage
from fraudstream.ledger.lineage import HOUR
from fraudstream.settings import load_settings
from fraudstream.storage.connect import session

#: Hours that a run catches up with, after it didn't run for longer.
CATCH_UP = timedelta(hours=24)


class StreamLineageOperator(BaseOperator):
    """Sends what the stream read and wrote in each whole hour since its last success; skipped while lineage is off.

    A run that is repeated sends the same ids again, which a lineage server takes for the same runs.
    """

    def execute(self, context: Context) -> int:
        """Returns how many hours were sent. Raises psycopg.Error, and what the transport raises."""
        if conf.is_disabled():
            raise AirflowSkipException("OpenLineage is off: FRAUDSTREAM_AIRFLOW__LINEAGE turns it on")
        # Here, since the Dag's file is parsed again and again, and lineage is off by default.
        from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter

        from fraudstream_airflow.lineage_events import events

        settings, sent = load_settings(), 0
        until = _hour_of(datetime.now(UTC))
        before = context.get("prev_start_date_success")
        since = max(_hour_of(before) if before else until - HOUR, until - CATCH_UP)
        client = OpenLineageAdapter().get_or_create_openlineage_client()
        with session(settings, settings.postgres.reader, name="lineage") as connection:
            for hour in lineage.hours(connection, since, until):
                for event in events(settings, hour):
                    client.emit(event)
                sent += 1
        self.log.info("%s hours from %s to %s were sent", sent, since, until)
        return sent


def _hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
