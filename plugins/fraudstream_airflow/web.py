"""The plugin's web app, mounted by Airflow's API server under /fraudstream.

The health page is for signed-in users; the metrics are for whoever sends the token of the settings. Airflow protects no
plugin's app by itself.
"""

import hmac
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException
from fastapi.responses import HTMLResponse, Response

from fraudstream.settings import Settings, load_settings
from fraudstream_airflow import health, paused

PAGE = Path(__file__).with_name("health.html")


@cache
def settings() -> Settings:
    """The settings, read at the first request."""
    return load_settings()


def requires_token(authorization: Annotated[str, Header()] = "") -> None:
    """Lets a request pass that has the token of the settings. Without one there, nobody's does."""
    token = settings().metrics.token.get_secret_value()
    if not token:
        raise HTTPException(404, "there are no metrics: FRAUDSTREAM_METRICS__TOKEN is empty")
    if not hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
        raise HTTPException(401, "the bearer token isn't FRAUDSTREAM_METRICS__TOKEN", {"WWW-Authenticate": "Bearer"})


app = FastAPI(title="Fraudstream", docs_url=None, redoc_url=None, openapi_url=None)
pages = APIRouter(dependencies=[Depends(requires_access_view(AccessView.WEBSITE))])


@pages.get("/", response_class=HTMLResponse)
def page() -> str:
    """The page itself; it fetches its figures from `/health`."""
    return PAGE.read_text()


@pages.get("/health")
def figures() -> dict[str, Any]:
    """The page's figures as JSON."""
    told = health.collect(settings())
    told["alarms"] += paused.problems(told["jobs"])
    return told


@app.get("/metrics", dependencies=[Depends(requires_token)])
def metrics() -> Response:
    """The platform's figures for Prometheus."""
    from fraudstream_airflow import prometheus  # here, so that the page works without

    return Response(prometheus.exposition(settings()), media_type=prometheus.CONTENT_TYPE)


app.include_router(pages)
