"""The operator of fraud_alert_response, and the asset that starts it: a message on the bell's topic."""

from dataclasses import asdict
from functools import partial
from typing import Any

from airflow.providers.apache.kafka.triggers.shared_stream import KafkaSharedStreamTrigger
from airflow.sdk import Asset, AssetWatcher, BaseOperator, Context

from fraudstream.messages.contracts import Topic
from fraudstream.settings import load_settings
from fraudstream.storage.connect import session
from fraudstream.watch import alert_groups, incidents
from fraudstream_airflow import notify

BELL = Asset(
    Topic.FRAUD_ALERT_BELL.value,
    watchers=[
        AssetWatcher(
            name="bell",
            trigger=KafkaSharedStreamTrigger(
                topics=[Topic.FRAUD_ALERT_BELL.value], kafka_config_id="kafka_default", poll_timeout=1.0
            ),
        )
    ],
)


class GroupAlertsOperator(BaseOperator):
    """Groups the alerts that nobody has looked at into incidents, and tells people."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Returns how many alerts there were, and the incidents, for the run's XCom."""
        settings = load_settings()
        with session(settings, settings.postgres.writer, name="fraud_alert_response") as connection:
            done = alert_groups.respond(connection, settings)
            told = incidents.tell(connection, partial(notify.send, settings)) if notify.is_on(settings) else 0
        self.log.info("%s alerts: incidents %s, closed %s", done.alerts, done.incidents, done.closed)
        return asdict(done) | {"told": told}
