"""The health page, mounted by Airflow's API server under /fraudstream. Signed-in users only."""

from functools import cache
from pathlib import Path
from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse

from fraudstream.settings import Settings, load_settings
from fraudstream_airflow import health, paused

PAGE = Path(__file__).with_name("health.html")

# Airflow doesn't protect a plugin's app by itself.
app = FastAPI(
    title="Fraudstream",
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    dependencies=[Depends(requires_access_view(AccessView.WEBSITE))],
)


@cache
def settings() -> Settings:
    """The settings, read at the first request."""
    return load_settings()


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    """The page itself; it fetches its figures from `/health`."""
    return PAGE.read_text()


@app.get("/health")
def figures() -> dict[str, Any]:
    """The page's figures as JSON."""
    told = health.collect(settings())
    told["alarms"] += paused.problems(told["jobs"])
    return told
