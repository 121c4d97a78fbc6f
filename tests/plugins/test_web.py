"""The plugin's web app: nobody reads anything of it without signing in, or the token."""

import os
import tempfile
import unittest
from unittest.mock import patch

from fastapi.testclient import TestClient
from fraudstream_airflow import web
from prometheus_client.parser import text_string_to_metric_families

from fraudstream.watch.metrics import METRICS

TOKEN = "a-token-of-this-test"


class WebTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.variables = {"FRAUDSTREAM_VAR_DIR": folder.name, "FRAUDSTREAM_POSTGRES__PORT": "1"}
        self.client = TestClient(web.app, raise_server_exceptions=False)
        self.addCleanup(web.settings.cache_clear)

    def get(self, path: str, token: str = "", sent: str | None = None) -> tuple[int, str]:
        """The answer's status and text, when `token` is in the settings and `sent` in the request."""
        headers = {} if sent is None else {"Authorization": f"Bearer {sent}"}
        web.settings.cache_clear()
        with patch.dict(os.environ, self.variables | {"FRAUDSTREAM_METRICS__TOKEN": token}):
            answer = self.client.get(path, headers=headers)
        return answer.status_code, answer.text

    def test_every_route_asks_who_it_is(self) -> None:
        paths = {route.path for route in web.app.routes}
        self.assertEqual(paths, {"/", "/health", "/metrics"})
        for path in paths:
            with self.subTest(path):
                self.assertEqual(self.get(path, TOKEN)[0], 401)
        self.assertEqual(self.get("/metrics", TOKEN, "another")[0], 401)

    def test_the_token_opens_the_metrics_and_no_page(self) -> None:
        status, text = self.get("/metrics", TOKEN, TOKEN)
        self.assertEqual(status, 200, text)
        families = {family.name: family for family in text_string_to_metric_families(text)}
        self.assertEqual(families["fraudstream_ledger_up"].samples[0].value, 0)
        self.assertEqual({s.labels["job"]: s.value for s in families["fraudstream_job_up"].samples}["stream"], 0)
        # Airflow's own check needs its whole app to say so in words.
        self.assertNotEqual(self.get("/health", TOKEN, TOKEN)[0], 200)

    def test_without_a_token_there_are_none(self) -> None:
        self.assertEqual(self.get("/metrics", "", "")[0], 404)

    def test_names_and_units_are_as_prometheus_asks(self) -> None:
        for metric in METRICS:
            self.assertEqual(metric.name.endswith("_total"), metric.type == "counter", metric.name)
            self.assertRegex(metric.name, r"^fraudstream_[a-z_]+$")
        self.assertEqual(len({metric.name for metric in METRICS}), len(METRICS))


if __name__ == "__main__":
    unittest.main()
