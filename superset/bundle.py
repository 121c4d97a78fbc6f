"""Reads the dashboards, charts and datasets under `assets/` in the form that Superset imports."""

from pathlib import Path
from typing import Any

import query_contexts
import yaml

ASSETS = Path(__file__).parent / "assets"
CHARTS_URI = "${CHARTS_URI}"  # stands in the database's asset for the charts' connection
CURRENCY = "${SHOP_CURRENCY}"  # stands in the charts' labels
CHANGES_LAYER = "${CHANGES_LAYER}"  # stands in the charts that mark changes


def read(charts_uri: str, shop_currency: str, changes_layer: int) -> dict[str, str]:
    """Texts of the assets by relative path.

    Connection, shop currency, the number of the layer of changes, query contexts and the dashboards' style are filled
    in.
    """
    return {
        path.relative_to(ASSETS).as_posix(): yaml.safe_dump(
            _complete(
                yaml.safe_load(
                    path.read_text().replace(CURRENCY, shop_currency).replace(CHANGES_LAYER, str(changes_layer))
                ),
                charts_uri,
            )
        )
        for path in sorted(ASSETS.rglob("*.yaml"))
    }


def _complete(asset: dict[str, Any], charts_uri: str) -> dict[str, Any]:
    if asset.get("sqlalchemy_uri") == CHARTS_URI:
        return asset | {"sqlalchemy_uri": charts_uri}
    if "viz_type" in asset:
        return asset | {"query_context": query_contexts.build(asset["params"])}
    if "dashboard_title" in asset:
        return asset | {"css": (ASSETS / "dashboard.css").read_text()}
    return asset


def dashboard_slugs() -> list[str]:
    """Slugs of the dashboards."""
    return [yaml.safe_load(path.read_text())["slug"] for path in sorted(ASSETS.glob("dashboards/*.yaml"))]
