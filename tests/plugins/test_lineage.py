"""The stream's lineage as a lineage server gets it: over a real HTTP server, and in a real file."""

import json
import tempfile
import unittest
from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk.exceptions import AirflowSkipException
from fraudstream_airflow.lineage import StreamLineageOperator
from fraudstream_airflow.lineage_events import events
from openlineage.client import OpenLineageClient

from fraudstream.ledger.lineage import Hour, Read, Written
from fraudstream.settings import load_settings
from tests.hooks import Hooks
from tests.plugins.test_notify import serving

HOUR = Hour(
    datetime(2026, 3, 1, 12, tzinfo=UTC),
    (Read("transactions", ("transaction_id", "amount"), 70), Read("orders", (), 5)),
    (
        Written(
            "scored_transactions",
            {"amount": "NUMERIC", "late": "BOOLEAN"},
            {"amount": (("transactions", "amount"),)},
            60,
        ),
        Written("fraud_alerts", {"amount": "NUMERIC"}, {}),
    ),
)


def send(transport: dict[str, object]) -> None:
    client = OpenLineageClient(config={"transport": transport})
    for event in events(load_settings(), HOUR):
        client.emit(event)


class LineageTest(unittest.TestCase):
    def test_it_is_off_by_default(self) -> None:
        with self.assertRaisesRegex(AirflowSkipException, "FRAUDSTREAM_AIRFLOW__LINEAGE turns it on"):
            StreamLineageOperator(task_id="lineage").execute({})

    def test_an_hour_is_a_run_of_the_streams_job_with_topics_tables_and_columns(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "lineage.json"
            for _ in range(2):
                send({"type": "file", "log_file_path": str(file), "append": True})
            begun, ended, *again = map(json.loads, file.read_text().splitlines())
        self.assertEqual([begun, ended], again, "a repeat is the same run")
        self.assertEqual((begun["eventType"], ended["eventType"]), ("START", "COMPLETE"))
        self.assertEqual(begun["run"], ended["run"])
        self.assertEqual(ended["eventTime"], "2026-03-01T13:00:00+00:00")
        self.assertEqual(ended["job"]["name"], "score_transactions")
        transactions, orders = ended["inputs"]
        self.assertTrue(transactions["namespace"].startswith("kafka://"))
        self.assertEqual(
            [field["name"] for field in transactions["facets"]["schema"]["fields"]], ["transaction_id", "amount"]
        )
        self.assertEqual(transactions["inputFacets"]["inputStatistics"]["rowCount"], 70)
        self.assertNotIn("schema", orders["facets"])
        scored, alerts = ended["outputs"]
        self.assertTrue(scored["name"].endswith(".fraud.scored_transactions"))
        self.assertEqual(scored["outputFacets"]["outputStatistics"]["rowCount"], 60)
        self.assertEqual([field["type"] for field in scored["facets"]["schema"]["fields"]], ["NUMERIC", "BOOLEAN"])
        [source] = scored["facets"]["columnLineage"]["fields"]["amount"]["inputFields"]
        self.assertEqual(
            (source["namespace"], source["name"], source["field"]),
            (transactions["namespace"], "transactions", "amount"),
        )
        self.assertNotIn("outputStatistics", alerts["outputFacets"])

    def test_a_server_gets_both_events(self) -> None:
        hooks = Hooks()
        with serving(hooks) as port:
            send({"type": "http", "url": f"http://127.0.0.1:{port}"})
        self.assertEqual([path for path, _ in hooks.posted], ["/api/v1/lineage"] * 2)
        self.assertEqual([body["eventType"] for _, body in hooks.posted], ["START", "COMPLETE"])
