"""The Fraudstream plugin: a health page, links to the dashboards, and the listener that stops orphaned jobs."""

from airflow.plugins_manager import AirflowPlugin
from fraudstream_airflow import orphans
from fraudstream_airflow.lazy_app import LazyApp

from fraudstream.settings import load_settings

SUPERSET = load_settings().superset_url
TOP = {"nav_top_level": True}


class FraudstreamPlugin(AirflowPlugin):
    """The plugin, as Airflow loads it."""

    name = "fraudstream"
    listeners = [orphans]  # noqa: RUF012  (Airflow's way of declaring a plugin)
    fastapi_apps = [  # noqa: RUF012
        {"app": LazyApp("fraudstream_airflow.web:app"), "url_prefix": "/fraudstream", "name": "fraudstream"}
    ]
    external_views = [  # noqa: RUF012
        {"name": "Stream", "href": "/fraudstream/", "destination": "nav", "url_route": "stream-health", **TOP},
        {"name": "Stream", "href": "/fraudstream/", "destination": "dag_run", "url_route": "stream"},
        {"name": "Fraud", "href": f"{SUPERSET}/superset/dashboard/fraud-monitor/", "destination": "nav", **TOP},
        {"name": "Decisions", "href": f"{SUPERSET}/superset/dashboard/decisions/", "destination": "nav"},
        {"name": "Model health", "href": f"{SUPERSET}/superset/dashboard/model-health/", "destination": "nav"},
        {"name": "Operations", "href": f"{SUPERSET}/superset/dashboard/operations/", "destination": "nav"},
        {"name": "Sales", "href": f"{SUPERSET}/superset/dashboard/sales/", "destination": "nav", **TOP},
    ]
