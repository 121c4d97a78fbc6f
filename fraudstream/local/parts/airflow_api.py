"""The few calls of Airflow's REST API that starting and stopping the platform needs."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from fraudstream.errors import FraudstreamError
from fraudstream.local import secrets
from fraudstream.settings import Settings

TIMEOUT_SECONDS = 30
POLL_SECONDS = 0.5
#: A Dag is in the database after so long: on a busy machine, its processor needs minutes for its first round.
PARSED_SECONDS = 300.0


class AirflowApiError(FraudstreamError):
    """Airflow refused a call; the message holds its answer."""


class AirflowApi:
    """Airflow's REST API, signed in as the administrator at the first call that needs it."""

    def __init__(self, settings: Settings, timeout: float = TIMEOUT_SECONDS) -> None:
        self._timeout = timeout
        self.url = settings.airflow_api_url
        self._credentials = {
            "username": secrets.WEB_USER,
            "password": secrets.read(settings, "airflow_admin"),
        }
        self._token: str | None = None

    def unhealthy(self, components: Sequence[str]) -> list[str]:
        """Those of the `components` in Airflow's health report that aren't healthy, with what it says about each."""
        try:
            health = self._send("GET", "/api/v2/monitor/health")
        except OSError as error:
            return [f"API server ({error})"]
        states = {name: (health.get(name) or {}).get("status") for name in components}
        return [f"{name} ({state})" for name, state in states.items() if state != "healthy"]

    def start(self, dag_id: str, *, seconds: float = PARSED_SECONDS) -> None:
        """Has a Dag run: unpauses it, and triggers a run when it has no schedule and no run at work.

        Waits up to `seconds` for the Dag to be parsed. Raises AirflowApiError when it isn't.
        """
        dag = self._parsed(dag_id, seconds)
        if dag["is_paused"]:
            self.call("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": False})
        if dag["timetable_summary"] is None and not self.active_runs(dag_id):
            self.call("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": {}})

    def pause(self, dag_id: str, *, seconds: float = PARSED_SECONDS) -> None:
        """Has Airflow start no more runs of a Dag. Waits for the Dag, and raises, as `start` does."""
        self._parsed(dag_id, seconds)
        self.call("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": True})

    def is_stuck(self, dag_id: str) -> bool:
        """True for a paused Dag with a run under way, whose tasks Airflow doesn't start. Raises AirflowApiError."""
        return bool(self.call("GET", f"/dags/{dag_id}")["is_paused"] and self.active_runs(dag_id))

    def active_runs(self, dag_id: str) -> list[str]:
        """Ids of the Dag's queued and running runs."""
        found = self.call("GET", f"/dags/{dag_id}/dagRuns?state=running&state=queued")
        return [run["dag_run_id"] for run in found["dag_runs"]]

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One call under /api/v2. Returns the decoded answer; raises AirflowApiError for any status but 2xx."""
        try:
            if self._token is None:
                self._token = self._send("POST", "/auth/token", self._credentials)["access_token"]
            return self._send(method, f"/api/v2{path}", body)
        except OSError as error:
            raise AirflowApiError(f"Airflow did not answer {method} {path} at {self.url}: {error}") from error

    def _parsed(self, dag_id: str, seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            found = self.call("GET", f"/dags?dag_id_pattern={dag_id}&exclude_stale=true")["dags"]
            for dag in found:
                if dag["dag_id"] == dag_id:
                    return dag
            if time.monotonic() > deadline:
                raise AirflowApiError(
                    f"Airflow has no Dag {dag_id} after {seconds:.0f} s: see {self.url} for import errors"
                )
            time.sleep(POLL_SECONDS)

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310  (http, our own)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:  # noqa: S310
                text = answer.read()
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace")[:500]
            raise AirflowApiError(f"Airflow refused {method} {path}: {error.code} {detail}") from error
        return json.loads(text) if text else None
