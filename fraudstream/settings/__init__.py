"""Settings of the platform: one frozen, typed `Settings`, the only reader of the environment.

Build it once, at an entry point, with `load_settings()`, and hand it down.
"""

from fraudstream.settings.group import ENV_PREFIX, Group
from fraudstream.settings.paths import PROJECT_DIR, Paths
from fraudstream.settings.settings import (
    LACKS,
    AirflowSettings,
    ClusterSettings,
    EntityRiskSettings,
    PostgresSettings,
    ProducerSettings,
    Settings,
    ShopSettings,
    StreamSettings,
    SupersetSettings,
    load_settings,
)

__all__ = [
    "ENV_PREFIX",
    "LACKS",
    "PROJECT_DIR",
    "AirflowSettings",
    "ClusterSettings",
    "EntityRiskSettings",
    "Group",
    "Paths",
    "PostgresSettings",
    "ProducerSettings",
    "Settings",
    "ShopSettings",
    "StreamSettings",
    "SupersetSettings",
    "load_settings",
]
