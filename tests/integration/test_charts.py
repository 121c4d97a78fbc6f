"""What the dashboards' charts say, on a real Postgres: each chart's own query on a shop with known sums."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from testbed.dashboards import CHARTS, query_of
from tests.charting import (
    AMOUNT,
    CATEGORIES,
    FLAGGED,
    FLAGGED_AMOUNT,
    NOON,
    PRODUCTS,
    REVENUE,
    TRANSACTIONS,
    UNITS,
    Postgres,
    Shop,
    frozen,
)

#: Moments that lie differently in windows of 10, 30 and 60 s.
MOMENTS = [NOON + timedelta(seconds=seconds) for seconds in (0, 3, 29.9, 30, 47)]
CROWD = """
INSERT INTO fraud.fraud_locations
    (window_start, shipping_country, shipping_city, latitude, longitude, flagged, flagged_amount)
SELECT now() - interval '5 minutes', 'FR', 'Place ' || n, 45, n / 1000.0, 1, 1 FROM generate_series(1, 9000) AS n
"""
SCORED = """
INSERT INTO fraud.scored_transactions
SELECT 't' || n, 's' || n, 'c1', %(newest)s - n * interval '1 second', 20, 'EUR', '[]', 'card', NULL, NULL, 0, 0,
       'Village ' || n, 'FR', 48.9, n / 1000.0, 'FR', 'd1', 0.1, false, 0.5, '[]', 'v1', now(), false, now(),
       0, n, 1, true
FROM generate_series(0, 999) AS n
"""
ALERTS = """
INSERT INTO fraud.fraud_alerts (transaction_id, customer_id, event_time, amount, currency, shipping_city,
                                shipping_country, fraud_score, reasons, model_version)
SELECT transaction_id, customer_id, event_time, amount, currency, shipping_city, shipping_country, 0.9, '[]', 'v1'
FROM fraud.scored_transactions
"""


@pytest.fixture
def shop(owner: Postgres) -> Iterator[Shop]:
    with frozen(owner, NOON) as made:
        yield made


@pytest.fixture
def crowded(shop: Shop) -> Shop:
    """A shop with more of everything than a chart can show."""
    shop.trade(NOON)
    for each in (SCORED, ALERTS, CROWD):
        shop.run(each, newest=NOON)
    return shop


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_shows_all_rows_that_it_asks_for(crowded: Shop, name: str) -> None:
    """What a row limit cuts off is missing in totals, shares and lines, without a word."""
    assert 0 < len(crowded.rows(name, limited=False)) <= query_of(CHARTS[name])["row_limit"]


@pytest.mark.parametrize("age", [timedelta(), timedelta(seconds=45), timedelta(days=3)], ids=str)
@pytest.mark.parametrize("now", MOMENTS, ids=lambda now: f"{now:%S.%f}")
def test_figures_that_readers_compare_agree(owner: Postgres, now: datetime, age: timedelta) -> None:
    """Over the newest 30 minutes of sales, and the newest hour of frauds, whenever they end."""
    with frozen(owner, now) as shop:
        shop.trade(now - age)
        assert shop.figure("sales_revenue") == 60 * REVENUE
        assert shop.total("revenue_by_category", "revenue_total") == 60 * REVENUE
        assert shop.total("revenue_over_time", "revenue_total") == 60 * REVENUE
        assert shop.figure("sales_units") == 60 * UNITS
        assert {row["units_total"] for row in shop.rows("top_products")} == {60 * (50 - n) for n in range(7)}
        assert shop.total("top_products_over_time", "units_total") == 60 * sum(50 - n for n in range(5))
        assert shop.figure("sales_orders") == 180 * (TRANSACTIONS - FLAGGED)
        assert shop.figure("average_order") == (AMOUNT - FLAGGED_AMOUNT) / (TRANSACTIONS - FLAGGED)
        assert shop.figure("transactions_scored") == 360 * TRANSACTIONS
        assert shop.figure("transactions_flagged") == shop.total("fraud_map", "flagged") == 360 * FLAGGED
        assert shop.figure("flagged_amount") == shop.total("fraud_map", "flagged_amount") == 360 * FLAGGED_AMOUNT
        assert shop.figure("flag_rate") == FLAGGED / TRANSACTIONS
        assert shop.total("fraud_per_10_seconds", "flagged_total") == 120 * FLAGGED


def test_the_ring_names_the_eight_largest_categories_and_adds_up_the_others(crowded: Shop) -> None:
    sold = dict.fromkeys(range(CATEGORIES), 0)
    for n in range(PRODUCTS):
        sold[n % CATEGORIES] += 60 * (50 - n) * (n + 1)
    shown = {row["category"]: row["revenue_total"] for row in crowded.rows("revenue_by_category")}
    others = shown.pop("other categories")
    largest = sorted(sold.values(), reverse=True)
    assert sorted(shown.values(), reverse=True) == largest[:8]
    assert others == sum(largest[8:])


@pytest.mark.parametrize(("categories", "named"), [(9, 9), (10, 8)])
def test_no_category_is_hidden_where_all_have_a_colour(shop: Shop, categories: int, named: int) -> None:
    shop.trade(NOON)
    shop.run("UPDATE fraud.products SET category = substr(product_id, 2)::int %% %(n)s", n=categories)
    for chart in ("revenue_by_category", "revenue_over_time"):
        assert len({row["category"] for row in shop.rows(chart)} - {"other categories"}) == named


def test_a_sale_in_no_catalogue_is_in_the_total(shop: Shop) -> None:
    shop.trade(NOON)
    shop.run("DELETE FROM fraud.products WHERE product_id = 'p39'")
    assert shop.total("revenue_by_category", "revenue_total") == shop.figure("sales_revenue") == 60 * REVENUE


def test_sales_and_their_total_have_one_clock(shop: Shop) -> None:
    """When everything is flagged lately, the newest sale is older than the newest transaction."""
    shop.trade(NOON)
    shop.run("DELETE FROM fraud.product_sales WHERE window_start >= now() - interval '10 minutes'")
    assert shop.figure("sales_revenue") == 40 * REVENUE
    assert shop.total("revenue_by_category", "revenue_total") == 40 * REVENUE
    assert shop.total("revenue_over_time", "revenue_total") == 40 * REVENUE
    assert shop.total("top_products", "units_total") == 40 * sum(50 - n for n in range(7))


@pytest.mark.parametrize(
    ("chart", "width"), [("revenue_over_time", 30), ("top_products_over_time", 30), ("fraud_per_10_seconds", 10)]
)
@pytest.mark.parametrize("now", MOMENTS, ids=lambda now: f"{now:%S.%f}")
def test_a_window_that_still_fills_is_not_drawn(owner: Postgres, now: datetime, chart: str, width: int) -> None:
    """It would look as if sales, or frauds, had collapsed."""
    with frozen(owner, now) as shop:
        shop.trade(now)
        last = max(row["window_start"] for row in shop.rows(chart)).replace(tzinfo=UTC)
        assert timedelta() <= now - (last + timedelta(seconds=width)) < timedelta(seconds=width)


def test_the_first_window_is_shown_while_it_fills(owner: Postgres) -> None:
    with frozen(owner, NOON) as shop:
        shop.trade(NOON)
        for table in ("product_sales", "fraud_counts", "fraud_locations"):
            shop.run(f"DELETE FROM fraud.{table} WHERE window_start <> %(now)s", now=NOON)
        assert shop.figure("sales_revenue") == shop.total("revenue_by_category", "revenue_total") == REVENUE
        assert shop.total("top_products_over_time", "units_total") == sum(50 - n for n in range(5))
        assert shop.total("fraud_per_10_seconds", "flagged_total") == FLAGGED


def test_products_of_one_name_are_told_apart(shop: Shop) -> None:
    shop.trade(NOON)
    twins = {"Twin (p0)": 60 * 50, "Twin (p1)": 60 * 49}
    assert {row["product"]: row["units_total"] for row in shop.rows("top_products")}.items() >= twins.items()
    lines = dict.fromkeys(twins, 0)
    for row in shop.rows("top_products_over_time"):
        if row["product"] in lines:
            lines[row["product"]] += row["units_total"]
    assert lines == twins


def test_figures_of_nothing_are_unknown_and_not_zero(shop: Shop) -> None:
    assert shop.figure("flag_rate") is None
    shop.trade(NOON)
    shop.run("UPDATE fraud.fraud_counts SET unpriced = transactions, flagged_unpriced = flagged")
    assert shop.figure("average_order") is None, "an order without an exchange rate has no amount"


def test_a_clock_that_is_ahead_does_not_hide_how_old_the_newest_transaction_is(shop: Shop) -> None:
    shop.run(SCORED, newest=NOON - timedelta(minutes=3))
    shop.run(
        "UPDATE fraud.scored_transactions SET event_time = now() + interval '4 minutes' WHERE transaction_id = 't9'"
    )
    assert shop.figure("newest_transaction") == 180_000


def test_an_alert_of_another_day_is_not_taken_for_one_of_today(shop: Shop) -> None:
    shop.run(SCORED, newest=NOON)
    shop.run(ALERTS)
    assert {row["Time (UTC)"] for row in shop.rows("latest_alerts")} >= {"12:00:00", "11:59:59"}
    shop.run("UPDATE fraud.fraud_alerts SET event_time = event_time - interval '1 day'")
    assert {row["Time (UTC)"] for row in shop.rows("latest_alerts")} == {"28 Feb 12:00", "28 Feb 11:59"}


READINGS = """
INSERT INTO fraud.platform_readings (reading, place, at, value)
SELECT reading, place, now() - n * interval '2 minutes', value + CASE reading WHEN 'epoch' THEN -n / 600 ELSE 0 END
FROM generate_series(0, 5 * 24 * 30) AS n, (VALUES
    ('p50_ms', '', 400), ('p99_ms', '', 900), ('lag', 'transactions', 7), ('lag', 'browse-events', 13),
    ('messages_per_second', '', 150), ('disk_free_bytes', '/data', 2147483648), ('differences', '', 1),
    ('epoch', '', 9), ('dead_letters', 'malformed', 2), ('dead_letters', 'unknown_version', 1)
) AS read (reading, place, value)
"""
INCIDENTS = """
INSERT INTO fraud.incidents (source, subject, severity, text, opened_at, closed_at)
SELECT 'lag', n::text, 'warning', 'n messages wait', now() - interval '2 hours',
       CASE WHEN n > 2 THEN now() - interval '1 hour' END
FROM generate_series(1, 20) AS n
"""


def test_operations_are_the_readings_of_days(shop: Shop) -> None:
    shop.run(READINGS)
    shop.run(INCIDENTS)
    assert shop.figure("operations_p99") == 0.9
    assert shop.figure("operations_waiting") == 20
    assert shop.figure("operations_rejected") == 3 * 31
    assert shop.figure("operations_differences") == 1
    assert shop.figure("operations_starts") == 1
    latency, rate = shop.rows("operations_latency"), shop.rows("operations_rate")
    assert len(latency) == len(rate) == 3 * 96 + 1
    assert {(row["p50"], row["p99"]) for row in latency} == {(0.4, 0.9)}
    assert {(row["rate"], row["most_waiting"]) for row in rate} == {(150, 20)}
    assert {row["free"] for row in shop.rows("operations_disk")} == {2}
    assert {row["reason"] for row in shop.rows("operations_reasons")} == {"malformed", "unknown_version"}
    assert shop.total("operations_reasons", "refused_total") == 3 * (3 * 24 * 30 + 1)
    listed = shop.rows("operations_incidents")
    assert [row["State"] for row in listed] == ["open"] * 2 + ["over"] * 4
    assert [row["Lasted"] / 3_600_000 for row in listed] == [2] * 2 + [1] * 4


def test_without_a_reading_operations_say_so(shop: Shop) -> None:
    assert shop.figure("operations_p99") is None
    assert {row["reason"] for row in shop.rows("operations_reasons")} == {"nothing was refused"}
    assert [row["What"] for row in shop.rows("operations_incidents")] == ["Nothing was wrong yet"]
