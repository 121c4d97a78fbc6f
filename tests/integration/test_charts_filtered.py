"""What the charts say under a dashboard's filters, on a real Postgres: of rows whose sums are known."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from testbed.dashboards import CHARTS, DASHBOARDS, Asked, charts_of, query_of
from tests.charting import NOON, Postgres, Shop, frozen

#: One transaction every 10 s, 240 of them, of which the odd ones pay by card. Every third ships to Berlin, every tenth
#: is blocked, and the one after it reviewed. Each buys 2 kettles for 10.
TRADE = """
INSERT INTO fraud.products VALUES ('p1', 'Kettle', 'Home', 10);
INSERT INTO fraud.scored_transactions (
    transaction_id, customer_id, event_time, amount, currency, exchange_rate, items, payment_method, shipping_city,
    shipping_country, shipping_latitude, shipping_longitude, shop, fraud_score, is_fraud, threshold, reasons, decision,
    model_version, scored_at, late, ingest_time, kafka_partition, kafka_offset, batch_id, counted_in_sales
)
SELECT 't' || n, 'c1', %(until)s - (n * 10 + 5) * interval '1 second', 20, 'EUR', 1,
    '[{"product_id": "p1", "quantity": 2, "unit_price": 10}]', (ARRAY['paypal', 'card'])[n %% 2 + 1],
    CASE WHEN n %% 3 = 0 THEN 'Berlin' ELSE 'Lyon' END, CASE WHEN n %% 3 = 0 THEN 'DE' ELSE 'FR' END, 48, 4,
    CASE WHEN n %% 4 = 0 THEN 'outlet' ELSE 'main' END, 0.5, n %% 10 < 2, 0.5, '[]',
    CASE n %% 10 WHEN 0 THEN 'block' WHEN 1 THEN 'review' ELSE 'allow' END,
    'v1', now(), false, now(), 0, n, 1, n %% 10 >= 2
FROM generate_series(0, 239) AS n;
INSERT INTO fraud.fraud_counts (window_start, shop, transactions, flagged, amount, flagged_amount)
SELECT date_bin('10 seconds', event_time, 'epoch'), shop, 1, is_fraud::int, 20, 20 * is_fraud::int
FROM fraud.scored_transactions;
INSERT INTO fraud.segment_counts (window_start, shop, shipping_country, payment_method, decision, transactions, flagged,
    amount, flagged_amount)
SELECT date_bin('15 minutes', event_time, '2000-01-01 00:00+00'), shop, shipping_country, payment_method, decision,
    count(*), sum(is_fraud::int), sum(amount), sum(amount * is_fraud::int)
FROM fraud.scored_transactions GROUP BY 1, 2, 3, 4, 5;
INSERT INTO fraud.product_sales (window_start, product_id, shop, units, revenue, batch_id)
SELECT date_bin('30 seconds', event_time, 'epoch'), 'p1', shop, 2 * count(*), 20 * count(*), 1
FROM fraud.scored_transactions WHERE counted_in_sales GROUP BY 1, 3;
INSERT INTO fraud.fraud_locations
    (window_start, shipping_country, shipping_city, shop, latitude, longitude, flagged, flagged_amount)
SELECT date_bin('60 seconds', event_time, 'epoch'), shipping_country, shipping_city, shop, 48, 4, count(*),
    20 * count(*)
FROM fraud.scored_transactions WHERE is_fraud GROUP BY 1, 2, 3, 4;
INSERT INTO fraud.fraud_alerts (transaction_id, customer_id, event_time, amount, currency, exchange_rate, shipping_city,
                                shipping_country, shop, payment_method, fraud_score, reasons, model_version, decision)
SELECT transaction_id, customer_id, event_time, amount, currency, exchange_rate, shipping_city, shipping_country, shop,
    payment_method, fraud_score, '[]', 'v1', decision
FROM fraud.scored_transactions WHERE is_fraud;
"""
#: Six days of a sale every 7 minutes, of which the oldest four are windows of a day.
DAYS_OF_SALES = """
INSERT INTO fraud.scored_transactions (
    transaction_id, customer_id, event_time, amount, currency, exchange_rate, items, payment_method, shipping_country,
    shop, fraud_score, is_fraud, threshold, reasons, decision, model_version, scored_at, late, ingest_time,
    kafka_partition, kafka_offset, batch_id, counted_in_sales
)
SELECT 's' || n, 'c2', %(until)s - n * interval '7 minutes', 20, 'EUR', 1,
    jsonb_build_array(jsonb_build_object('product_id', 'p1', 'quantity', 1 + n %% 3, 'unit_price', 10)),
    (ARRAY['paypal', 'card'])[n %% 2 + 1], (ARRAY['DE', 'FR', NULL])[n %% 3 + 1], 'main', 0.5, false, 0.5, '[]',
    'allow', 'v1', now(), false, now(), 0, 1000 + n, 2, n %% 10 > 0
FROM generate_series(7, 6 * 24 * 60 / 7) AS n;
INSERT INTO fraud.rollup_horizons (table_name, thinned_until)
VALUES ('segment_sales', date_trunc('day', %(until)s, 'UTC') - interval '2 days');
INSERT INTO fraud.segment_sales
SELECT date_bin(width, event_time, '2000-01-01 00:00+00'), 'p1', shop, coalesce(shipping_country, ''), payment_method,
    decision, sum((items -> 0 ->> 'quantity')::int), 10 * sum((items -> 0 ->> 'quantity')::int),
    extract(epoch FROM width)
FROM fraud.scored_transactions, fraud.rollup_horizons, LATERAL (
    SELECT CASE WHEN event_time < thinned_until THEN interval '1 day' ELSE interval '1 hour' END AS width
) AS wide
WHERE counted_in_sales GROUP BY 1, 3, 4, 5, 6, width;
"""
SOLD = """
SELECT 10 * sum((items -> 0 ->> 'quantity')::int)::float FROM fraud.scored_transactions
WHERE counted_in_sales AND event_time >= %(since)s AND event_time < %(until)s
    AND {column} = %(value)s
"""
Values = tuple[tuple[str, str], ...]


def asked(since: timedelta, until: timedelta = timedelta(), values: Values = ()) -> Asked:
    """A time filter, from and until so long before noon, and other filters."""
    return Asked(values, *((NOON - before).isoformat()[:19] for before in (since, until)))


HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LAST_TEN_MINUTES = asked(timedelta(minutes=10))
LAST_QUARTER = asked(timedelta(days=90))


@pytest.fixture
def shop(owner: Postgres) -> Iterator[Shop]:
    with frozen(owner, NOON) as made:
        for statement in TRADE.split(";\n")[:-1]:
            made.run(statement, until=NOON)
        yield made


@pytest.fixture
def week(shop: Shop) -> Shop:
    """Besides, days of sales, in windows of days and of hours."""
    for statement in DAYS_OF_SALES.split(";\n")[:-1]:
        shop.run(statement, until=NOON)
    return shop


FILTERED = pytest.mark.parametrize(
    ("values", "scored", "flagged"),
    [
        ((), 240, 48),
        ((("shop", "outlet"),), 60, 12),
        ((("country", "DE"),), 80, 16),
        ((("payment_method", "card"),), 120, 24),
        ((("decision", "block"),), 24, 24),
        ((("country", "DE"), ("payment_method", "card"), ("decision", "review")), 8, 8),
    ],
    ids=str,
)


@FILTERED
@pytest.mark.parametrize("period", [(), (timedelta(hours=1),), (timedelta(days=90), -timedelta(hours=1))], ids=len)
def test_filters_count_their_transactions(
    shop: Shop, values: Values, scored: int, flagged: int, period: tuple[timedelta, ...]
) -> None:
    question = asked(*period, values=values) if period else Asked(values)
    assert shop.figure("transactions_scored", question) == scored
    assert shop.figure("transactions_flagged", question) == shop.figure("open_alerts", question) == flagged
    assert shop.figure("flagged_amount", question) == 20 * flagged
    assert shop.total("fraud_map", "flagged", question) == flagged
    if period:
        assert shop.total("fraud_per_10_seconds", "flagged_total", question) == flagged


@FILTERED
def test_hours_that_a_long_time_cuts_are_counted_from_their_transactions(
    shop: Shop, values: Values, scored: int, flagged: int
) -> None:
    """The hour before noon alone has any."""
    hour = timedelta(hours=1)
    for short, long in (
        (asked(hour, hour / 6, values), asked(20 * hour + hour / 7, hour / 6, values)),
        (asked(hour / 3, timedelta(), values), asked(hour / 3, -20 * hour, values)),
    ):
        for name in ("transactions_scored", "transactions_flagged", "flagged_amount"):
            assert shop.figure(name, short) == shop.figure(name, long)
        assert 0 < shop.figure("transactions_scored", long) < scored


def test_segments_are_what_a_long_time_is_counted_from(shop: Shop) -> None:
    shop.run("DELETE FROM fraud.segment_counts")
    card = (("payment_method", "card"),)
    assert shop.figure("transactions_scored", asked(timedelta(days=90), values=card)) == 0
    assert shop.figure("transactions_scored", asked(timedelta(hours=1), values=card)) == 120


def test_sales_are_filtered_as_their_rollups_are_counted(shop: Shop) -> None:
    """The 8 of 10 that weren't flagged, of the newest 30 minutes: in both shops, by card or not."""
    for name in ("country", "payment_method"):
        parts = {"country": ("DE", "FR"), "payment_method": ("card", "paypal")}[name]
        revenues = [shop.figure("sales_revenue", Asked(((name, value),))) for value in parts]
        assert sum(map(float, map(str, revenues))) == float(str(shop.figure("sales_revenue"))) == 20 * 144
    card = Asked((("payment_method", "card"),))
    assert shop.total("revenue_by_category", "revenue_total", card) == shop.figure("sales_revenue", card)
    assert shop.total("revenue_over_time", "revenue_total", card) == shop.figure("sales_revenue", card)
    assert shop.total("top_products", "revenue_total", card) == shop.figure("sales_revenue", card)


#: Hours before noon, and the narrowest window of an axis over them. Windows are days until 60 hours before.
SPANS = pytest.mark.parametrize(
    ("since", "until", "narrowest"),
    [
        (144, -1, DAY),
        (131.3, 0.7, DAY),
        (120.4, 61.2, DAY),  # both ends cut a day
        (84, 60, DAY),  # one whole day, of midnights
        (100.3, 89.9, HOUR),  # hours of two days
        (71.1, 50.6, HOUR),  # to the first windows of hours
        (40.2, 11.5, HOUR),
        (70, 61, timedelta(seconds=30)),
    ],
    ids=str,
)


@SPANS
@pytest.mark.parametrize(
    ("name", "column", "value"), [("country", "shipping_country", "FR"), ("payment_method", "payment_method", "card")]
)
def test_filtered_sales_of_any_time_are_those_of_its_transactions(
    week: Shop, since: float, until: float, narrowest: timedelta, name: str, column: str, value: str
) -> None:
    question = asked(HOUR * since, HOUR * until, ((name, value),))
    expected = week.value(SOLD.format(column=column), since=NOON - HOUR * since, until=NOON - HOUR * until, value=value)
    assert expected > 0
    assert week.figure("sales_revenue", question) == expected
    for chart in ("revenue_over_time", "revenue_by_category", "top_products"):
        assert week.total(chart, "revenue_total", question) == expected
    starts = {row["window_start"] for row in week.rows("revenue_over_time", question)}
    assert all(start == datetime.min + (start - datetime.min) // narrowest * narrowest for start in starts)
    assert len(starts) <= 101


def test_segments_are_what_long_sales_are_added_up_from(week: Shop) -> None:
    week.run("DELETE FROM fraud.segment_sales")
    card = (("payment_method", "card"),)
    assert week.figure("sales_revenue", asked(HOUR * 84, HOUR * 60, card)) == 0
    assert week.figure("sales_revenue", asked(HOUR * 70, HOUR * 61, card)) > 0


def test_the_time_filter_takes_the_place_of_the_newest(shop: Shop) -> None:
    assert shop.figure("transactions_scored", LAST_TEN_MINUTES) == 60
    assert shop.total("fraud_per_10_seconds", "flagged_total", LAST_TEN_MINUTES) == 12
    assert shop.figure("sales_revenue", LAST_TEN_MINUTES) == 20 * 48
    assert shop.total("revenue_over_time", "revenue_total", LAST_TEN_MINUTES) == 20 * 48


def test_a_long_time_is_shown_in_wider_windows(shop: Shop) -> None:
    windows = shop.rows("fraud_per_10_seconds", LAST_QUARTER)
    assert len(windows) <= 120
    assert sum(row["flagged_total"] or 0 for row in windows) == 48
    assert shop.total("revenue_over_time", "revenue_total", LAST_QUARTER) == 20 * 192


def test_latest_alerts_are_the_latest_that_the_filters_let_through(shop: Shop) -> None:
    """Not those among the latest six."""
    rows = shop.rows("latest_alerts", Asked((("country", "DE"), ("payment_method", "card"))))
    assert {row["Ships to"] for row in rows} == {"Berlin, DE"}
    assert len(rows) == 6


@pytest.mark.parametrize("name", [name for slug in ("fraud_monitor", "sales") for name in charts_of(DASHBOARDS[slug])])
def test_no_value_is_more_than_a_value(shop: Shop, name: str) -> None:
    """What nothing is called leaves a chart empty, or at zero, whatever stands in it."""
    odd = Asked(tuple((column, "'; SELECT 1 -- {{ 1 }} %s :x \\") for column in ("country", "payment_method")))
    assert len(shop.rows(name, odd, limited=False)) <= query_of(CHARTS[name])["row_limit"]
