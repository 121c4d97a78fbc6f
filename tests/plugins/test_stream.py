"""The stream's operator by deploy mode; in `cluster`, a retry finds the driver again instead of submitting another."""

import json
import os
import tempfile
import unittest
from collections import deque
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import patch

from airflow.sdk import Connection
from fraudstream_airflow.operators import SparkStreamOperator
from fraudstream_airflow.spark_connection import SparkConnectionError
from fraudstream_airflow.stream import SubmittedStreamOperator, stream_operator

from fraudstream.settings import PROJECT_DIR

APPLICATION = "application_1700000000000_0001"
FAKE_SUBMIT = f"""#!/bin/sh
echo "$@" >> "$SUBMITTED"
echo "INFO Client: Submitted application {APPLICATION}"
"""
ENDED = ("FINISHED", "SUCCEEDED")
RUNNING = ("RUNNING", "UNDEFINED")


class ResourceManager(HTTPServer):
    """YARN's, as far as the provider asks it: an application's states, one after the other."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.states: deque[tuple[str, str]] = deque()


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, ResourceManager)
        state, final = self.server.states.popleft()
        body = json.dumps({"app": {"id": APPLICATION, "state": state, "finalStatus": final}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class StreamTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.submitted = Path(folder.name) / "submitted"
        binary = Path(folder.name) / "spark-submit"
        binary.write_text(FAKE_SUBMIT)
        binary.chmod(0o755)
        properties = Path(folder.name) / "spark.properties"
        properties.touch()
        variables = {
            "PATH": f"{folder.name}:{os.environ['PATH']}",
            "SUBMITTED": str(self.submitted),
            "FRAUDSTREAM_CLUSTER__DEPLOY_MODE": "cluster",
            "FRAUDSTREAM_CLUSTER__PROPERTIES_FILE": str(properties),
        }
        environment = patch.dict(os.environ, variables)
        environment.start()
        self.addCleanup(environment.stop)
        self.manager = ResourceManager()
        Thread(target=self.manager.serve_forever, daemon=True).start()
        self.addCleanup(self.manager.server_close)
        self.addCleanup(self.manager.shutdown)
        self.connect("yarn")

    def connect(self, host: str) -> None:
        address = f"http://127.0.0.1:{self.manager.server_port}"
        extra = json.dumps({"deploy-mode": "cluster", "yarn_resourcemanager_webapp_address": address})
        connection = Connection(conn_id="spark_default", conn_type="spark", host=host, extra=extra)
        for hook in (
            "fraudstream_airflow.stream.BaseHook.get_connection",
            "airflow.providers.apache.spark.hooks.spark_submit.SparkSubmitHook.get_connection",
        ):
            found = patch(hook, return_value=connection)
            found.start()
            self.addCleanup(found.stop)

    def run_task(self, remembered: dict[str, Any]) -> None:
        class Store(dict[str, Any]):
            def set(self, key: str, value: Any) -> None:
                remembered[key] = value

        operator = stream_operator("score_transactions")
        context: Any = {"task_state_store": Store(remembered)}
        operator.execute(context)

    def test_the_deploy_mode_decides(self) -> None:
        self.assertIsInstance(stream_operator("score_transactions"), SubmittedStreamOperator)
        with patch.dict(os.environ, {"FRAUDSTREAM_CLUSTER__DEPLOY_MODE": "client"}):
            self.assertIsInstance(stream_operator("score_transactions"), SparkStreamOperator)

    def test_a_driver_is_submitted_once_and_found_again(self) -> None:
        remembered: dict[str, Any] = {}
        self.manager.states.append(ENDED)
        self.run_task(remembered)
        self.assertEqual(remembered, {"spark_job_id": APPLICATION})
        self.manager.states.extend([RUNNING, ENDED])
        self.run_task(remembered)
        [command] = self.submitted.read_text().splitlines()
        self.assertIn("--master yarn", command)
        self.assertIn("--deploy-mode cluster", command)
        self.assertIn("--conf spark.yarn.submit.waitAppCompletion=false", command)
        self.assertTrue(command.endswith(f"local://{PROJECT_DIR}/spark_jobs/score_transactions.py"))

    def test_a_driver_that_failed_is_submitted_again(self) -> None:
        remembered: dict[str, Any] = {}
        self.manager.states.append(("FINISHED", "FAILED"))
        with self.assertRaises(RuntimeError):
            self.run_task(remembered)
        self.manager.states.extend([("FINISHED", "FAILED"), ENDED])
        self.run_task(remembered)
        self.assertEqual(len(self.submitted.read_text().splitlines()), 2)

    def test_a_standalone_master_is_refused(self) -> None:
        self.connect("spark://master")
        with self.assertRaises(SparkConnectionError) as caught:
            self.run_task({})
        self.assertIn("'spark_default': spark://master runs no Python driver", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
