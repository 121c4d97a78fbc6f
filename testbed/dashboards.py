"""The dashboards as code: their assets, and each chart's query as Superset writes it."""

import importlib
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True)
class Asked:
    """What a dashboard's filters ask for."""

    values: tuple[tuple[str, str], ...] = ()
    """Names of filters, and a value that each lets through."""
    since: str | None = None
    until: str | None = None
    """The time filter's bounds, ISO 8601 in UTC."""


NOTHING_ASKED = Asked()
#: Fills in a template as Superset does, and spells the SQL as it does: parsed by its sqlglot.
_SEND = """
import json, sqlglot, sys
from jinja2.sandbox import SandboxedEnvironment
import filters
asked = json.load(sys.stdin)
environment = SandboxedEnvironment()
given = filters.FUNCTIONS | {
    "filter": [{"col": name, "op": "IN", "val": [value]} for name, value in asked["values"]],
    "from_dttm": asked["since"],
    "to_dttm": asked["until"],
}
filled = {uuid: environment.from_string(sql).render(given) for uuid, sql in asked["written"].items()}
json.dump({uuid: sqlglot.transpile(sql, "postgres", "postgres")[0] for uuid, sql in filled.items()}, sys.stdout)
"""


@cache
def sent(asked: Asked = NOTHING_ASKED) -> dict[str, str]:
    """The datasets' SQL by UUID as Superset sends it, which isn't as it was written."""
    written = {dataset["uuid"]: dataset["sql"] for dataset in DATASETS.values()}
    command = [str(load_settings().paths.python("superset")), "-c", _SEND]
    done = subprocess.run(
        command,
        input=json.dumps(asdict(asked) | {"written": written}),
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(PROJECT_DIR / "superset")},
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def statement(chart: Asset, asked: Asked = NOTHING_ASKED) -> str:
    """The SQL of a chart as Superset sends it, without its row limit."""
    query, dataset = query_of(chart), dataset_of(chart)
    columns = [f'"{name}"' for name in columns_of(query)]
    expressions = {metric["metric_name"]: metric["expression"] for metric in dataset["metrics"]}
    metrics = [f'{expressions[name]} AS "{name}"' for name in query.get("metrics", ())]
    known = {column["column_name"] for column in dataset["columns"]}
    around = [f"\"{name}\" IN ('{value}')" for name, value in asked.values if name in known]
    filtered = f"WHERE {' AND '.join(around)}" if around else ""
    grouped = f"GROUP BY {', '.join(columns)}" if metrics and columns else ""
    order = ", ".join(f'"{term}" {"ASC" if up else "DESC"}' for term, up in query.get("orderby", ()))
    ordered = f"ORDER BY {order}" if order else ""
    inner = sent(asked)[dataset["uuid"]]
    return f"SELECT {', '.join(columns + metrics)} FROM ({inner}) AS virtual_table {filtered} {grouped} {ordered}"
