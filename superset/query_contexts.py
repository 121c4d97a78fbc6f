"""Derives the query context of a chart from its parameters.

Superset's pages build the query in the browser from `params`. `GET /api/v1/chart/<id>/data/` uses a saved
`query_context` instead. It is derived here when the assets are imported, so that there is one definition of each chart,
and asks for what the page asks for: a viewer's query is compared with it (viewer_security.py).
"""

import json
from collections.abc import Callable
from typing import Any

Params = dict[str, Any]
Query = dict[str, Any]


def build(params: Params) -> str:
    """The query context, as JSON, of a chart with `params`. Raises KeyError for a `viz_type` that isn't used here."""
    query = QUERIES[params["viz_type"]](params)
    return json.dumps(
        {
            "datasource": {"id": 0, "type": "table"},  # Superset's import fills it in
            "force": False,
            "queries": [
                {
                    "filters": [],
                    "extras": {"having": "", "where": ""},
                    "time_range": params["time_range"],
                    "row_limit": params.get("row_limit", 1),
                    "annotation_layers": params.get("annotation_layers", []),
                    **query,
                }
            ],
            "form_data": params,
            "result_format": "json",
            "result_type": "full",
        }
    )


def _big_number(params: Params) -> Query:
    return {"columns": [], "metrics": [params["metric"]]}


def _timeseries(params: Params) -> Query:
    axis = {
        "columnType": "BASE_AXIS",
        "expressionType": "SQL",
        "isColumnReference": True,
        "label": params["x_axis"],
        "sqlExpression": params["x_axis"],
        "timeGrain": params["time_grain_sqla"],
    }
    metrics = params["metrics"]
    return {"columns": [axis, *params["groupby"]], "metrics": metrics, "orderby": [[metrics[0], False]]}


def _table(params: Params) -> Query:
    if params["query_mode"] == "aggregate":
        metrics = params["metrics"]
        return {"columns": params["groupby"], "metrics": metrics, "orderby": [[metrics[0], False]]}
    return {  # without metrics: rows as they are, not grouped
        "columns": params["all_columns"],
        "orderby": [json.loads(column) for column in params["order_by_cols"]],
    }


def _pie(params: Params) -> Query:
    metric = params["metric"]
    share = {"columns": [metric], "rename_columns": [f"{metric}__contribution"]}
    return {
        "columns": params["groupby"],
        "metrics": [metric],
        "orderby": [[metric, False]],
        "post_processing": [{"operation": "contribution", "options": share}],
    }


def _scatter_map(params: Params) -> Query:
    spatial, radius = params["spatial"], params["point_radius_fixed"]["value"]
    described = [content["column_name"] for content in params["tooltip_contents"]]
    return {
        "columns": [spatial["lonCol"], spatial["latCol"], *described],
        "metrics": [radius],
        "orderby": [[radius, False]],
    }


QUERIES: dict[str, Callable[[Params], Query]] = {
    "big_number_total": _big_number,
    "echarts_timeseries_bar": _timeseries,
    "echarts_timeseries_line": _timeseries,
    "echarts_timeseries_step": _timeseries,
    "table": _table,
    "pie": _pie,
    "deck_scatter": _scatter_map,
}
