"""The dashboards' YAML holds together: what one file names, another defines."""

import importlib
import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from fraudstream.settings import PROJECT_DIR
from testbed.dashboards import (
    ASSETS,
    CHARTS,
    DASHBOARDS,
    DATABASES,
    DATASETS,
    charts_of,
    columns_of,
    dataset_of,
    holders,
    query_of,
)

sys.path.insert(0, str(PROJECT_DIR / "superset"))
bundle = importlib.import_module("bundle")

#: Within a dataset's SQL: the time that its sums are over.
SPAN = re.compile(
    r"WITH span AS \(\n  SELECT (?:COALESCE\({{ moment\(from_dttm\) }}, )?until - interval '(.+?)'\)? AS since"
    r"(?s:.+?)\n\)"
)
INTERVALS = {
    "1 hour": "newest hour",
    "1 day": "newest day",
    "30 minutes": "newest 30 minutes",
    "30 days": "newest 30 days",
}


def test_uuids_are_unique() -> None:
    assets = [*CHARTS.values(), *DATASETS.values(), *DASHBOARDS.values(), *DATABASES.values()]
    assert {uuid: n for uuid, n in Counter(asset["uuid"] for asset in assets).items() if n > 1} == {}


def test_chart_ids_are_unique() -> None:
    ids = Counter(holder["meta"]["chartId"] for board in DASHBOARDS.values() for holder in holders(board))
    assert {number: n for number, n in ids.items() if n > 1} == {}


def test_every_chart_has_exactly_one_place() -> None:
    placed = Counter(holder["meta"]["uuid"] for board in DASHBOARDS.values() for holder in holders(board))
    assert placed == Counter(chart["uuid"] for chart in CHARTS.values())


@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboards_refresh_themselves_as_they_say(name: str) -> None:
    metadata = DASHBOARDS[name]["metadata"]
    assert 0 < metadata["refresh_frequency"] <= 600
    assert metadata["stagger_refresh"] is False
    assert f"Refreshes every {metadata['refresh_frequency']} seconds." in DASHBOARDS[name]["description"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_rows_fill_the_grid_and_know_their_children(name: str) -> None:
    position = DASHBOARDS[name]["position"]
    for row in (position[child] for child in position["GRID_ID"]["children"]):
        children = [position[child] for child in row["children"]]
        assert sum(child["meta"]["width"] for child in children) == 12
        assert all(child["parents"][-1] == row["id"] for child in children)


@pytest.mark.parametrize("name", CHARTS)
def test_charts_ask_for_what_their_dataset_has(name: str) -> None:
    chart = CHARTS[name]
    dataset = dataset_of(chart)
    columns = {column["column_name"] for column in dataset["columns"]}
    metrics = {metric["metric_name"] for metric in dataset["metrics"]}
    query = query_of(chart)
    assert set(columns_of(query)) <= columns
    assert set(query.get("metrics", [])) <= metrics
    assert {term for term, _ in query.get("orderby", [])} <= columns | metrics


@pytest.mark.parametrize("name", CHARTS)
def test_charts_describe_themselves(name: str) -> None:
    chart = CHARTS[name]
    assert chart["params"]["viz_type"] == chart["viz_type"]
    assert chart["description"]


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_says_which_time_it_is_about(name: str) -> None:
    """An axis, a column or an age says it; sums say it in the title or below the number, as their SQL has it."""
    chart, params = CHARTS[name], CHARTS[name]["params"]
    if "x_axis" in params:
        assert params["x_axis_title"] == "UTC"
    elif not _has_time(columns_of(query_of(chart))) and "since" not in params.get("subtitle", ""):
        said = f"{chart['slice_name']}, {params.get('subtitle', '')}"
        [interval] = [interval for interval, words in INTERVALS.items() if words in said]
        assert f"until - interval '{interval}'" in dataset_of(chart)["sql"]


def _has_time(columns: list[str]) -> bool:
    return any(column.endswith("(UTC)") for column in columns)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_sums_of_a_dashboard_over_equal_times_are_over_the_same_time(name: str) -> None:
    spans: dict[str, set[str]] = {}
    for chart in charts_of(DASHBOARDS[name]).values():
        if found := SPAN.search(dataset_of(chart)["sql"]):
            spans.setdefault(found[1], set()).add(found[0])
    assert spans
    assert all(len(texts) == 1 for texts in spans.values()), spans


@pytest.mark.parametrize("name", CHARTS)
def test_colors_depend_on_comparisons_that_superset_knows(name: str) -> None:
    """Superset ignores a rule with another operator, such as `>=`, without a word."""
    operators = {rule["operator"] for rule in CHARTS[name]["params"].get("conditional_formatting", [])}
    assert operators <= {"None", "<", ">", "≥", "≤", "=", "≠", "< x <", "≤ x ≤", "≤ x <", "< x ≤"}


@pytest.mark.parametrize("name", DATASETS)
def test_queries_look_at_a_bounded_part_of_history(name: str) -> None:
    """A month only of what is few: verdicts, rules by the hour, and measurements."""
    sql = DATASETS[name]["sql"]
    assert re.search(r"interval '(20 minutes|30 minutes|1 hour|1 day|3 days|30 days)'|LIMIT \d+", sql)
    assert "30 days" not in sql or not re.search(r"fraud\.(fraud|scored|product)_\w+,", sql)


@pytest.mark.parametrize("path", sorted(ASSETS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_no_asset_names_a_host_or_a_password(path: Path) -> None:
    assert not re.search(r"postgres(ql)?(\+\w+)?://|localhost|127\.0\.0\.1|password:", path.read_text())


def test_the_bundle_fills_in_what_the_files_leave_open() -> None:
    texts = bundle.read("postgresql+psycopg2://reader@db:5433/shop?passfile=/x", "CHF", 7)
    database = yaml.safe_load(texts["databases/fraudstream.yaml"])
    assert database["sqlalchemy_uri"] == "postgresql+psycopg2://reader@db:5433/shop?passfile=/x"
    for name in CHARTS:
        context = json.loads(yaml.safe_load(texts[f"charts/{name}.yaml"])["query_context"])
        params = json.loads(json.dumps(CHARTS[name]["params"]).replace('"${CHANGES_LAYER}"', "7"))
        given = {"subtitle": params["subtitle"].replace("${SHOP_CURRENCY}", "CHF")} if "subtitle" in params else {}
        assert context["form_data"] == params | given
    assert "SHOP_CURRENCY" not in str(texts)
    assert "CHANGES_LAYER" not in str(texts)
    marked = yaml.safe_load(texts["charts/fraud_per_10_seconds.yaml"])
    [asked] = json.loads(marked["query_context"])["queries"][0]["annotation_layers"]
    assert (asked["sourceType"], asked["value"]) == ("NATIVE", 7)
    assert texts["datasets/latest_alerts.yaml"].count("Amount, CHF") == 1
    for name in DASHBOARDS:
        assert "dashboard-filters-panel" in yaml.safe_load(texts[f"dashboards/{name}.yaml"])["css"]
    assert set(bundle.dashboard_slugs()) == {asset["slug"] for asset in DASHBOARDS.values()}
