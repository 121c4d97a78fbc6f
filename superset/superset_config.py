"""Apache Superset's settings: https://superset.apache.org/docs/configuration/configuring-superset.

One process serves everything, nothing is fetched from or sent to the internet, and a chart's answer is kept for less
than the dashboards' refresh interval, so that many viewers cost as much as one.
"""

from copy import deepcopy
from typing import Any

import filters
import runtime_file
import views
from desk import list_pages, policy_pages, rule_pages, threshold_pages  # noqa: F401 (they add their addresses)
from desk import pages as desk_pages
from event_log import PeopleEventLogger
from superset.config import TALISMAN_CONFIG as DEFAULT_TALISMAN_CONFIG
from superset.config import THEME_DEFAULT as DEFAULT_THEME
from viewer_security import ViewerSecurityManager

RUNTIME = runtime_file.load()

APP_NAME = "Fraudstream"
SECRET_KEY = runtime_file.secret(RUNTIME.secret_key_file)
SQLALCHEMY_DATABASE_URI = RUNTIME.metadata_uri
SQLALCHEMY_ENGINE_OPTIONS = {"pool_pre_ping": True}

# --- who may see what ---------------------------------------------------------------------------------------------

#: Templates are the assets' alone: whoever isn't an administrator sends no SQL.
FEATURE_FLAGS = {"DASHBOARD_RBAC": True, "ENABLE_TEMPLATE_PROCESSING": True}
JINJA_CONTEXT_ADDONS = filters.FUNCTIONS
PUBLIC_ROLE_LIKE = "Public" if RUNTIME.anonymous else None
CUSTOM_SECURITY_MANAGER = ViewerSecurityManager
#: `Strict` would ask whoever follows a link from a mail to sign in again.
SESSION_COOKIE_SAMESITE = "Lax"
EVENT_LOGGER = PeopleEventLogger()

# --- freshness: charts are cached in this process for a few seconds -----------------------------------------------

DATA_CACHE_CONFIG = {
    "CACHE_TYPE": "SimpleCache",
    "CACHE_DEFAULT_TIMEOUT": 4,
    "CACHE_THRESHOLD": 500,
    "CACHE_KEY_PREFIX": "data_",
}
DASHBOARD_AUTO_REFRESH_MODE = "fetch"  # through the cache; "force" would query Postgres once for each viewer
#: "Last hour" in a time filter is the newest one, not the one before midnight.
DEFAULT_RELATIVE_START_TIME = DEFAULT_RELATIVE_END_TIME = "now"
CELERY_CONFIG = None  # no alerts, reports or asynchronous queries: no workers

# --- nothing leaves this machine ----------------------------------------------------------------------------------

TALISMAN_CONFIG: dict[str, Any] = deepcopy(DEFAULT_TALISMAN_CONFIG)
TALISMAN_CONFIG["content_security_policy"] |= {
    "img-src": ["'self'", "blob:", "data:"],
    "connect-src": ["'self'"],
    "style-src": ["'self'", "'unsafe-inline'"],
    "font-src": ["'self'", "data:"],
}
#: Talisman writes its own value, `Lax` by default, over SESSION_COOKIE_SAMESITE.
TALISMAN_CONFIG["session_cookie_samesite"] = SESSION_COOKIE_SAMESITE
ENABLE_CORS = False
BLUEPRINTS = [views.blueprint, desk_pages.blueprint]
FLASK_APP_MUTATOR = views.register
ADDITIONAL_MIDDLEWARE = [views.IgnoreContentTypeOfGet]
#: One slash on purpose: it resolves against the current host, and Explore accepts it as a tile server.
DECKGL_BASE_MAP = [["tile://http:/tiles/{z}/{x}/{y}.png", "Countries"]]

# --- looks --------------------------------------------------------------------------------------------------------

#: Pixels below an axis over time: room for its title, where Superset leaves twice as much.
LOW_GRID = {"bottom": 22}
THEME_DEFAULT = {
    **DEFAULT_THEME,
    "token": {
        **DEFAULT_THEME["token"],
        "brandAppName": APP_NAME,
        "brandLogoAlt": APP_NAME,
        "brandLogoUrl": "/fraudstream/logo.svg",
        "colorPrimary": "#1F6F8B",
        "colorLink": "#1F6F8B",
        "colorError": "#D1495B",
    },
    # Counts are whole: no tick between two of them. Low charts have room for few.
    "echartsOptionsOverridesByChartType": {
        "echarts_timeseries_bar": {"grid": LOW_GRID, "yAxis": {"minInterval": 1}},
        "echarts_timeseries_line": {"grid": LOW_GRID, "yAxis": {"minInterval": 1}},
        "echarts_timeseries_step": {"grid": LOW_GRID, "yAxis": {"splitNumber": 2}},
    },
}
#: For those whose system is dark, or who choose it in the menu *Theme*.
THEME_DARK = {
    **THEME_DEFAULT,
    "token": {
        **THEME_DEFAULT["token"],
        "brandLogoUrl": "/fraudstream/logo-dark.svg",
        "colorPrimary": "#4FB3D1",
        "colorLink": "#4FB3D1",
        "colorError": "#E8707F",
    },
    "algorithm": "dark",
}
EXTRA_CATEGORICAL_COLOR_SCHEMES = [
    {
        "id": "fraud",
        "label": "Fraud",
        "description": "Warm reds",
        "colors": ["#D1495B", "#EDAE49", "#8C2F39", "#F4845F", "#B23A48", "#FCB9B2"],
    },
    {
        "id": "sales",
        "label": "Sales",
        "description": "Blues and teals, with accents that tell lines apart, on white and on black",
        "colors": ["#1F6F8B", "#2A9D8F", "#5FA8D3", "#C9824A", "#8AB17D", "#7B8CDE", "#99C1B9", "#5C7FB0", "#A3B9C9"],
    },
]
