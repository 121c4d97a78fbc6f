"""Superset: what it needs before it starts, how it runs, and whether its dashboards answer."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from fraudstream.errors import FraudstreamError
from fraudstream.files import private_folder, write_atomically
from fraudstream.local.parts.part import Part, Watch, not_watching
from fraudstream.local.secrets import WEB_USER, read
from fraudstream.local.supervisord_config import log_file
from fraudstream.settings import Settings

NAME = "superset"
VIEWER = "viewer"
ANALYST = "analyst"
#: The first start builds the metadata: 15 s on an idle machine. It gives way to all other parts, so that beside heavy
#: load it has as long as these have until transactions are scored (`fraudstream.local.up`).
HEALTHY_SECONDS = 300.0
REQUEST_SECONDS = 60.0
POLL_SECONDS = 0.5


class SupersetUnavailableError(FraudstreamError):
    """Superset doesn't answer, or a dashboard of it doesn't."""


@dataclass(frozen=True)
class Chart:
    """A chart, by the title of its dashboard, its name, and its id in Superset."""

    dashboard: str
    name: str
    id: int


@dataclass(frozen=True)
class ChartAnswer:
    """A chart's answer: `rows` is None when its query failed, and `problem` then says why."""

    chart: Chart
    rows: int | None
    problem: str = ""


def prepare(settings: Settings) -> None:
    """Writes what `superset/runtime_file.py` reads. The rest happens in the server itself when it starts."""
    folder = private_folder(settings.paths.superset)
    for user in (VIEWER, ANALYST):
        if not password_file(settings, user).exists():
            write_atomically(password_file(settings, user), token_urlsafe(24))
    write_atomically(folder / "runtime.json", json.dumps(_runtime(settings), indent=2) + "\n")


def _runtime(settings: Settings) -> dict[str, str | int | bool]:
    pg, paths = settings.postgres, settings.paths
    return {
        "host": settings.superset.listen,
        "port": settings.superset.port,
        "metadata_uri": settings.dsn(pg.superset_database, pg.superset_database, driver="+psycopg2"),
        "charts_uri": settings.dsn(pg.charts, driver="+psycopg2"),
        "desk_uri": settings.dsn(pg.desk, driver="+psycopg2"),
        "admin_username": WEB_USER,
        "admin_password_file": str(paths.secrets / "superset_admin"),
        "viewer_username": VIEWER,
        "viewer_password_file": str(password_file(settings, VIEWER)),
        "analyst_username": ANALYST,
        "analyst_password_file": str(password_file(settings, ANALYST)),
        "secret_key_file": str(paths.secrets / "superset_secret_key"),
        "anonymous": settings.superset.anonymous,
        "shop_currency": settings.shop.currency,
    }


def password_file(settings: Settings, user: str) -> Path:
    """The password of `VIEWER`, who may only look, or of `ANALYST`, who decides at the desk."""
    return settings.paths.superset / f"{user}_password"


def parts(settings: Settings) -> list[Part]:
    """The one process: gunicorn, which prepares the metadata and then serves."""
    code = settings.paths.project / "superset"
    command = (str(settings.paths.python(NAME)), "-m", "gunicorn", "--config", str(code / "gunicorn_config.py"))
    environment = {
        "SUPERSET_CONFIG_PATH": str(code / "superset_config.py"),
        "SUPERSET_HOME": str(settings.paths.superset),
        "SUPERSET_RUNTIME_FILE": str(settings.paths.superset / "runtime.json"),
        "PYTHONPATH": str(code),
        "PYTHONUNBUFFERED": "1",
    }
    return [Part(NAME, command, code, environment, priority=600, niceness=10, url=settings.superset_url)]


def wait_healthy(settings: Settings, watch: Watch = not_watching, seconds: float = HEALTHY_SECONDS) -> None:
    """Returns when the server answers. Raises SupersetUnavailableError.

    `watch` is called between attempts, and raises when there is nothing left to wait for.
    """
    deadline = time.monotonic() + seconds
    while not _healthy(settings):
        watch()
        if time.monotonic() > deadline:
            raise SupersetUnavailableError(
                f"Superset doesn't answer at {settings.superset_api_url}/health after {seconds:.0f} s. It runs, and "
                "gives way to all other parts: what it is at is at the end of "
                f"{log_file(settings.paths.logs, NAME)}; ./fraudctl up again goes on waiting"
            )
        time.sleep(POLL_SECONDS)


def _healthy(settings: Settings) -> bool:
    try:
        with urllib.request.urlopen(f"{settings.superset_api_url}/health", timeout=5) as response:  # noqa: S310 (our URL)
            return bool(response.status == 200)
    except OSError:
        return False


def wait_for_charts(settings: Settings, seconds: float) -> None:
    """Returns when every chart of every dashboard answers with at least a row. Raises SupersetUnavailableError."""
    deadline = time.monotonic() + seconds
    token, charts = _charts(settings)
    while blank := [answer for answer in (_ask(settings, token, chart) for chart in charts) if not answer.rows]:
        if time.monotonic() > deadline:
            first, log = blank[0], log_file(settings.paths.logs, NAME)
            raise SupersetUnavailableError(
                f"{len(blank)} charts have no rows after {seconds:.0f} s. The first is {first.chart.name!r} on "
                f"{first.chart.dashboard!r} ({first.problem or 'an empty answer'}): see {log}"
            )
        charts = [answer.chart for answer in blank]
        # All asked again and again would take the processor from those who make the rows.
        while not _ask(settings, token, charts[0]).rows and time.monotonic() <= deadline:
            time.sleep(POLL_SECONDS)


def chart_answers(settings: Settings) -> list[ChartAnswer]:
    """Asks every chart of every dashboard for its data, past the cache. Raises SupersetUnavailableError."""
    token, charts = _charts(settings)
    return [_ask(settings, token, chart) for chart in charts]


def _charts(settings: Settings) -> tuple[str, list[Chart]]:
    """A token, and every chart of every dashboard."""
    token = _request(
        settings,
        "/api/v1/security/login",
        body={"username": WEB_USER, "password": read(settings, "superset_admin"), "provider": "db"},
    )["access_token"]
    dashboards = _request(settings, "/api/v1/dashboard/?q=(page_size:100)", token)["result"]
    return token, [
        Chart(dashboard["dashboard_title"], chart["slice_name"], chart["id"])
        for dashboard in dashboards
        for chart in _request(settings, f"/api/v1/dashboard/{dashboard['id']}/charts", token)["result"]
    ]


def _ask(settings: Settings, token: str, chart: Chart) -> ChartAnswer:
    try:
        result = _request(settings, f"/api/v1/chart/{chart.id}/data/?force=true", token)["result"][0]
    except SupersetUnavailableError as error:
        return ChartAnswer(chart, None, str(error))
    if result["status"] != "success":
        return ChartAnswer(chart, None, str(result.get("error") or result["status"]))
    return ChartAnswer(chart, result["rowcount"])


def _request(settings: Settings, path: str, token: str | None = None, body: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(  # noqa: S310 (our URL)
        settings.superset_api_url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}),
    )
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as response:  # noqa: S310 (our URL)
            return json.load(response)
    except urllib.error.HTTPError as error:
        answer = error.read().decode(errors="replace")[:300]
        raise SupersetUnavailableError(f"Superset answered {error.code} to {path}: {answer}") from None
    except (OSError, ValueError) as error:
        raise SupersetUnavailableError(f"Superset gave no JSON answer to {path}: {error}") from None
