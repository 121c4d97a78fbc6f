"""The dashboards as code: their assets, and each chart's query as Superset writes it."""

import importlib
import json
import subprocess
import sys
from functools import cache
from typing import Any

import yaml

from fraudstream.settings import PROJECT_DIR, load_settings

sys.path.insert(0, str(PROJECT_DIR / "superset"))
query_contexts = importlib.import_module("query_contexts")

ASSETS = PROJECT_DIR / "superset" / "assets"
Asset = dict[str, Any]


def read(folder: str) -> dict[str, Asset]:
    """The assets of a folder, by the names of their files."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ASSETS / folder).glob("*.yaml"))}


CHARTS, DATASETS, DASHBOARDS, DATABASES = (read(folder) for folder in ("charts", "datasets", "dashboards", "databases"))


def holders(dashboard: Asset) -> list[Asset]:
    """The places for charts on a dashboard."""
    return [item for item in dashboard["position"].values() if isinstance(item, dict) and item["type"] == "CHART"]


def charts_of(dashboard: Asset) -> dict[str, Asset]:
    """The charts on a dashboard, by the names of their files."""
    placed = {holder["meta"]["uuid"] for holder in holders(dashboard)}
    return {name: chart for name, chart in CHARTS.items() if chart["uuid"] in placed}


def dataset_of(chart: Asset) -> Asset:
    """The dataset that a chart asks."""
    return next(dataset for dataset in DATASETS.values() if dataset["uuid"] == chart["dataset_uuid"])


def query_of(chart: Asset) -> Asset:
    """The query that a chart sends."""
    query: Asset = json.loads(query_contexts.build(chart["params"]))["queries"][0]
    return query


def columns_of(query: Asset) -> list[str]:
    """The columns that a query asks for."""
    return [column if isinstance(column, str) else column["sqlExpression"] for column in query["columns"]]


@cache
def rewritten() -> dict[str, str]:
    """The datasets' SQL as Superset sends it, which isn't as it was written: parsed and spelt out by its sqlglot."""
    program = (
        "import json, sqlglot, sys\n"
        "written = json.load(sys.stdin)\n"
        "sent = {uuid: sqlglot.transpile(sql, 'postgres', 'postgres')[0] for uuid, sql in written.items()}\n"
        "json.dump(sent, sys.stdout)"
    )
    written = json.dumps({dataset["uuid"]: dataset["sql"] for dataset in DATASETS.values()})
    command = [str(load_settings().paths.python("superset")), "-c", program]
    done = subprocess.run(command, input=written, capture_output=True, text=True, check=True)
    sent: dict[str, str] = json.loads(done.stdout)
    return sent


def statement(chart: Asset) -> str:
    """The SQL of a chart as Superset sends it, without its row limit."""
    query, dataset = query_of(chart), dataset_of(chart)
    sent = rewritten()[dataset["uuid"]]
    columns = [f'"{name}"' for name in columns_of(query)]
    expressions = {metric["metric_name"]: metric["expression"] for metric in dataset["metrics"]}
    metrics = [f'{expressions[name]} AS "{name}"' for name in query.get("metrics", ())]
    grouped = f"GROUP BY {', '.join(columns)}" if metrics and columns else ""
    order = ", ".join(f'"{term}" {"ASC" if up else "DESC"}' for term, up in query.get("orderby", ()))
    ordered = f"ORDER BY {order}" if order else ""
    return f"SELECT {', '.join(columns + metrics)} FROM ({sent}) AS virtual_table {grouped} {ordered}"
