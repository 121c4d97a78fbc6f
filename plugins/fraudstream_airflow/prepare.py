"""Brings Airflow's database up to date: its schema, and the connections that nobody made yet.

Run in Airflow's environment by `fraudstream.local.parts.airflow`: one process, since each call of Airflow's own command
line costs seconds. The last line of its output is the schema's revision.
"""

import json
from typing import Any

from airflow.models import Connection
from airflow.utils.db import upgradedb
from airflow.utils.session import create_session
from sqlalchemy import select, text

from fraudstream.kafka.acls import ConsumerGroup
from fraudstream.settings import Settings, load_settings
from fraudstream.settings.kafka import Role

SPARK_MASTER = "local[2,4]"


def connections(settings: Settings) -> list[dict[str, Any]]:
    """The connections that Fraudstream needs, as arguments of Airflow's Connection."""
    return [
        {
            "conn_id": "spark_default",
            "conn_type": "spark",
            "host": SPARK_MASTER,
            "extra": json.dumps({"deploy-mode": "client"}),
            "description": "Where fraud_scoring_stream runs: local[N,retries], spark://…, yarn or k8s://…",
        },
        {
            "conn_id": "kafka_default",
            "conn_type": "kafka",
            "extra": json.dumps(settings.kafka.as_role(Role.ALERTS).consumer_config(ConsumerGroup.AIRFLOW)),
            "description": "Fraudstream's Kafka, as settings had it at the first start",
        },
    ]


def main() -> None:
    """Migrates, adds missing connections (an edited one stays as it is), prints the revision as the last line."""
    upgradedb()
    with create_session() as session:
        known = set(session.scalars(select(Connection.conn_id)))
        session.add_all(Connection(**new) for new in connections(load_settings()) if new["conn_id"] not in known)
        print(session.scalar(text("SELECT version_num FROM alembic_version")))  # noqa: T201


if __name__ == "__main__":
    main()
