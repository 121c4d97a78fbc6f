"""The sections of docs/dashboards.md that say what each chart shows: the charts' own descriptions."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from fraudstream.settings import PROJECT_DIR

ASSETS = PROJECT_DIR / "superset" / "assets"
_CURRENCY = "${SHOP_CURRENCY}"  # filled in at import, by superset/bundle.py


def sections() -> dict[str, partial[str]]:
    """A function a dashboard, by its slug, that gives the table of its charts, in Markdown."""
    return {str(_read(path)["slug"]): partial(charts_table, path) for path in sorted(ASSETS.glob("dashboards/*.yaml"))}


def charts_table(dashboard: Path) -> str:
    """The charts of a dashboard's file, in the order in which they are seen, in Markdown."""
    return "\n".join(["| chart | what it says |", "| --- | --- |", *_rows(_read(dashboard)["position"])])


def _rows(position: dict[str, Any]) -> Iterator[str]:
    charts = {chart["uuid"]: chart for chart in map(_read, ASSETS.glob("charts/*.yaml"))}
    for row in position["GRID_ID"]["children"]:
        for child in position[row]["children"]:
            chart = charts[position[child]["meta"]["uuid"]]
            yield f"| {chart['slice_name']} | {chart['description']} |".replace(_CURRENCY, "in the shop currency")


def _read(path: Path) -> dict[str, Any]:
    asset: dict[str, Any] = yaml.safe_load(path.read_text())
    return asset
