"""What a dashboard's filters become in SQL: conditions of quoted strings, on the cheapest table that knows them."""

import importlib
import sys
from typing import Any

import pytest

from fraudstream.settings import PROJECT_DIR
from testbed.dashboards import DASHBOARDS, DATASETS

sys.path.insert(0, str(PROJECT_DIR / "superset"))
filters = importlib.import_module("filters")


def chosen(name: str, *values: object, operator: str = "IN") -> list[dict[str, Any]]:
    return [{"col": name, "op": operator, "val": list(values)}]


def test_a_value_is_a_quoted_string() -> None:
    assert filters.where(chosen("country", "FR", "O'Land"), "country") == " AND shipping_country IN ('FR', 'O''Land')"


def test_what_is_no_list_of_strings_or_not_asked_for_filters_nothing() -> None:
    for given in ([], chosen("country", 1, None), chosen("country", "FR", operator="NOT IN"), chosen("city", "Lyon")):
        assert filters.where(given, "country") == ""
    assert filters.where(chosen("country", "FR"), "shop") == ""


@pytest.mark.parametrize(
    ("table", "known"),
    [("fraud_counts", {"shop"}), ("fraud_locations", {"shop", "country"}), ("product_sales", {"shop"})],
)
def test_rollups_are_asked_for_what_they_know(table: str, known: set[str]) -> None:
    for name in filters.COLUMNS:
        asked = getattr(filters, table)(chosen(name, "x"))
        assert (asked == f"fraud.{table}") == (name in known)
    assert getattr(filters, table)([]) == f"fraud.{table}"


def test_counts_over_more_than_ten_hours_are_the_segments() -> None:
    asked = filters.fraud_counts(chosen("payment_method", "card"))
    assert "payment_method IN ('card')" in asked
    assert "fraud.segment_counts" in asked
    assert "interval '15 minutes'" in filters.step("10 seconds", 120)


def test_sales_over_more_than_ten_hours_are_the_segments() -> None:
    asked = filters.product_sales(chosen("country", "FR"))
    assert asked.count("FROM whole, fraud.segment_sales") == asked.count("FROM fraud.scored_transactions") == 2
    assert asked.count("shipping_country IN ('FR')") == 4


def test_an_axis_of_filtered_sales_cuts_no_window() -> None:
    assert "thinned_until" in filters.step("30 seconds", 100, chosen("country", "FR"))
    assert filters.step("30 seconds", 100, chosen("shop", "main")) == filters.step("30 seconds", 100)


def test_an_axis_is_as_fine_as_it_may_be() -> None:
    assert "ARRAY[interval '1 day', interval '7 days', interval '30 days']" in filters.step("1 day", 7)


@pytest.mark.parametrize("name", ["fraud_monitor", "sales"])
def test_dashboards_filter_by_declared_columns_that_their_choices_have(name: str) -> None:
    offered = {column["column_name"] for column in DATASETS["filter_choices"]["columns"]}
    targets = [
        target["column"]["name"]
        for each in DASHBOARDS[name]["metadata"]["native_filter_configuration"]
        for target in each["targets"]
        if target
    ]
    assert targets
    assert set(targets) <= offered & set(filters.COLUMNS)


def test_choices_name_a_dataset_that_is_there() -> None:
    uuids = {dataset["uuid"] for dataset in DATASETS.values()}
    for board in DASHBOARDS.values():
        for each in board["metadata"]["native_filter_configuration"]:
            assert {target["datasetUuid"] for target in each["targets"] if target} <= uuids
