"""How long each chart's query takes on a filled database of its own, as the charts' role, with and without filters.

./fraudctl bench charts --transactions 1000000

The transactions are of 30 days, one like the other, in two shops, 20 countries and 4 ways to pay; 2 % were flagged, and
a third of these decided. Rollups are thinned as retention does; the sales of segments are filled in as it would leave
them. A million take 1.3 GB. Told is the median of three runs of each query, slowest first.
"""

import math
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from psycopg.errors import QueryCanceled

from benchmarks.measuring import made_transactions
from benchmarks.measuring.made_transactions import one_of
from fraudstream.retention import thinning
from fraudstream.settings.retention import RetentionSettings
from fraudstream.storage.connect import Postgres, connect
from testbed.dashboards import CHARTS, DASHBOARDS, NOTHING_ASKED, Asked, charts_of, query_of, statement
from testbed.isolation import isolated_servers

DAYS = 30
RUNS = 3
#: The promise, seconds.
PROMISED = 1.0
#: Country, payment method and shop don't hang together, as no shop's do: segments are as many as they can be.
COLUMNS = {
    "transaction_id": "'tx-' || md5(n::text)",
    "session_id": "'s-' || md5('s' || n)",
    "customer_id": "'c-' || n % 20000",
    "amount": "42.5",
    "items": """jsonb_build_array(
        jsonb_build_object('product_id', 'p-' || n::bigint * 7 % 500, 'quantity', 1, 'unit_price', 20.5),
        jsonb_build_object('product_id', 'p-' || n::bigint * 11 % 500, 'quantity', 2, 'unit_price', 10))""",
    "payment_method": f"(ARRAY['card', 'paypal', 'invoice', 'apple_pay'])[{one_of(4, 1)} + 1]",
    "card_token": "'tok-' || n % 30000",
    "shipping_city": "'City ' || n % 400",
    "shipping_country": f"chr(65 + {one_of(20, 2)}) || 'X'",
    "shipping_latitude": "n % 60",
    "shipping_longitude": "n % 170",
    "device_id": "'d-' || n % 40000",
    "shop": f"(ARRAY['main', 'outlet'])[({one_of(5, 3)} = 0)::int + 1]",
    "fraud_score": "0.01",
    "reasons": "'[]'",
    "decision": "CASE WHEN n % 200 = 0 THEN 'block' WHEN n % 50 = 0 THEN 'review' ELSE 'allow' END",
    "counted_in_sales": "n % 50 <> 0",
    "content_hash": "n",
}
#: As the stream adds them up.
ROLLUPS = (
    """
INSERT INTO fraud.products
SELECT 'p-' || n, 'Product ' || n, 'Category ' || n % 12, 20 FROM generate_series(0, 499) AS n""",
    """
INSERT INTO fraud.fraud_counts (window_start, shop, transactions, flagged, amount, flagged_amount)
SELECT date_bin('10 seconds', event_time, timestamptz '2000-01-01 00:00+00'), shop, count(*),
    count(*) FILTER (WHERE is_fraud), sum(amount), coalesce(sum(amount) FILTER (WHERE is_fraud), 0)
FROM fraud.scored_transactions GROUP BY 1, 2""",
    """
INSERT INTO fraud.segment_counts (window_start, shop, shipping_country, payment_method, decision, transactions, flagged,
    amount, flagged_amount)
SELECT date_bin('15 minutes', event_time, timestamptz '2000-01-01 00:00+00'), shop, shipping_country, payment_method,
    decision, count(*), count(*) FILTER (WHERE is_fraud), sum(amount),
    coalesce(sum(amount) FILTER (WHERE is_fraud), 0)
FROM fraud.scored_transactions GROUP BY 1, 2, 3, 4, 5""",
    """
INSERT INTO fraud.fraud_locations
    (window_start, shipping_country, shipping_city, shop, latitude, longitude, flagged, flagged_amount)
SELECT date_bin('60 seconds', event_time, timestamptz '2000-01-01 00:00+00'), shipping_country, shipping_city, shop,
    avg(shipping_latitude), avg(shipping_longitude), count(*), sum(amount)
FROM fraud.scored_transactions WHERE is_fraud GROUP BY 1, 2, 3, 4""",
    """
INSERT INTO fraud.product_sales (window_start, product_id, shop, units, revenue, batch_id)
SELECT date_bin('30 seconds', event_time, timestamptz '2000-01-01 00:00+00'), item.product_id, shop,
    sum(item.quantity), sum(item.quantity * item.unit_price), 1
FROM fraud.scored_transactions,
    jsonb_to_recordset(items) AS item (product_id text, quantity bigint, unit_price numeric)
WHERE counted_in_sales GROUP BY 1, 2, 3""",
    """
INSERT INTO fraud.rollup_horizons (table_name, thinned_until)
VALUES ('segment_sales', date_trunc('day', now() - interval '48 hours', 'UTC'))""",
    """
INSERT INTO fraud.segment_sales (window_start, product_id, shop, shipping_country, payment_method, decision, units,
    revenue, seconds)
SELECT date_bin(width, event_time, timestamptz '2000-01-01 00:00+00'), item.product_id, shop, shipping_country,
    payment_method, decision, sum(item.quantity), sum(item.quantity * item.unit_price), extract(epoch FROM width)
FROM (
    SELECT *, CASE WHEN event_time < thinned_until THEN interval '1 day' ELSE interval '1 hour' END AS width
    FROM fraud.scored_transactions, fraud.rollup_horizons WHERE table_name = 'segment_sales' AND counted_in_sales
) AS rows, jsonb_to_recordset(items) AS item (product_id text, quantity bigint, unit_price numeric)
GROUP BY 1, 2, 3, 4, 5, 6, width""",
    """
INSERT INTO fraud.fraud_alerts (transaction_id, customer_id, event_time, amount, currency, exchange_rate, shipping_city,
    shipping_country, shop, payment_method, fraud_score, reasons, model_version, decision, created_at)
SELECT transaction_id, customer_id, event_time, amount, currency, exchange_rate, shipping_city, shipping_country, shop,
    payment_method, fraud_score, '[{"text": "card new to this customer"}]', model_version, decision, event_time
FROM fraud.scored_transactions WHERE is_fraud""",
    """
INSERT INTO fraud.analyst_verdicts (transaction_id, revision, verdict, reason_code, decided_by, decided_at)
SELECT transaction_id, 1, (ARRAY['fraud', 'honest'])[(kafka_offset % 300 = 0)::int + 1], 'not_given', 'alice',
    event_time + interval '1 hour'
FROM fraud.scored_transactions WHERE is_fraud AND kafka_offset % 150 = 0 AND event_time < now() - interval '1 hour'""",
)
#: What somebody may ask of *Fraud monitor* and *Sales*, by the words for it.
FILTERED = {
    "shop": (("shop", "outlet"),),
    "country": (("country", "AX"),),
    "country and payment method": (("country", "AX"), ("payment_method", "card")),
    "payment method": (("payment_method", "card"),),
    "decision": (("decision", "block"),),
}
PERIODS = {"newest": 0, "a day": 1, "7 days": 7, "30 days": 30}


def main(transactions: Annotated[int, typer.Option(help="scored transactions")] = 1_000_000) -> None:
    """Fill it, and print a line for each chart and filter."""
    with isolated_servers() as settings:
        with connect(settings, settings.postgres.admin, autocommit=True) as owner:
            owner.execute("SET ROLE fraud_owner")
            began = time.perf_counter()
            fill(owner, transactions)
            ((size,),) = owner.execute("SELECT pg_database_size(current_database())").fetchall()
            print(f"{transactions} transactions, {size / 1e9:.1f} GB, filled in {time.perf_counter() - began:.0f} s")
        with connect(settings, settings.postgres.charts, autocommit=True) as charts:
            for told, asked in questions(datetime.now(UTC).replace(tzinfo=None)).items():
                tell(charts, told, asked)


def fill(owner: Postgres, transactions: int) -> None:
    """Transactions until now, their rollups, alerts and verdicts."""
    made_transactions.insert(owner, transactions, DAYS, COLUMNS)
    owner.execute("SET work_mem = '512MB'")  # of this connection
    for each in ROLLUPS:
        owner.execute(each.encode())
    for thinned in thinning.thin(owner, RetentionSettings()):
        print(f"{thinned.table}: {thinned.rows} merged", flush=True)
    owner.execute("VACUUM ANALYZE")


def tell(charts: Postgres, told: str, asked: Asked) -> None:
    """Prints how many charts kept the promise, and a line for each, slowest first."""
    names = CHARTS if asked == NOTHING_ASKED else filtered_charts()
    taken = {
        name: median(charts, f"{statement(CHARTS[name], asked)} LIMIT {query_of(CHARTS[name])['row_limit']}")
        for name in names
    }
    kept = sum(seconds <= PROMISED for seconds in taken.values())
    print(f"{told}: {kept} of {len(taken)} charts within {PROMISED} s", flush=True)
    for name, seconds in sorted(taken.items(), key=lambda item: -item[1]):
        print(f"{seconds:9.3f} s  {name}", flush=True)


def filtered_charts() -> list[str]:
    """The charts of the dashboards that have filters."""
    return [
        name
        for board in DASHBOARDS.values()
        if board["metadata"]["native_filter_configuration"]
        for name in charts_of(board)
    ]


def questions(now: datetime) -> dict[str, Asked]:
    """What is asked, by the words for it."""
    found = {"unfiltered": NOTHING_ASKED}
    for period, days in PERIODS.items():
        since = (now - timedelta(days=days)).isoformat(timespec="seconds") if days else None
        bounds = (since, now.isoformat(timespec="seconds")) if since else (None, None)
        if since:
            found[f"everything, {period}"] = Asked((), *bounds)
        found |= {f"{told}, {period}": Asked(values, *bounds) for told, values in FILTERED.items()}
    return found


def median(charts: Postgres, query: str) -> float:
    """The median of `RUNS` runs, seconds; infinite when Postgres cancels one, which takes 15 s."""
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        try:
            charts.execute(query.encode()).fetchall()
        except QueryCanceled:
            return math.inf
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


if __name__ == "__main__":
    typer.run(main)
