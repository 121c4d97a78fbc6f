"""Rollups, alerts and positions, recomputed from the rows in SQL, and compared with what the stream keeps.

Windows that retention has merged are compared by the hour, or the day. Of rows that it has deleted nothing can be
recomputed: no test that looks here is as old as its settings, and one that is would find a difference of
`retired_totals`.
"""

from collections.abc import Iterator
from typing import Any

import psycopg

#: What was flagged, and what has an alert: flagged, or sent to review by chance. Without a decision the model decides.
DECIDED = "CASE WHEN decision IS NULL THEN is_fraud ELSE decision <> 'allow' AND review_probability IS NULL END"
ALERTED = "CASE WHEN decision IS NULL THEN is_fraud ELSE decision <> 'allow' END"
#: The session of a transaction: one without any is a session by itself.
SESSION = "coalesce(session_id, 'of ' || transaction_id)"
#: Sessions with a fraud by the newest verdict: of labels, or of the decision where there is none.
FLAGGED = f"""
    SELECT customer_id, {SESSION} AS session_id FROM fraud.scored_transactions
    LEFT JOIN (
        SELECT DISTINCT ON (transaction_id) transaction_id, is_fraud AS labelled_fraud
        FROM fraud.transaction_labels ORDER BY transaction_id, labelled_at DESC, label_id DESC
    ) newest USING (transaction_id)
    GROUP BY 1, 2 HAVING bool_or(coalesce(labelled_fraud, {DECIDED}))
"""


def _window(seconds: int, time: str, table: str, widest: str = "1 hour") -> str:
    """SQL: the start of the window of `time`, as wide as the stream makes it, or the widest where it may be merged."""
    merged = f"SELECT max(thinned_until) FROM fraud.rollup_horizons WHERE table_name = '{table}'"
    width = f"CASE WHEN {time} < ({merged}) THEN interval '{widest}' ELSE interval '{seconds} seconds' END"
    return f"date_bin({width}, {time}, timestamptz '2000-01-01 00:00:00+00')"


#: What each recomputation finds: a name, and two figures that must be equal.
COMPARED = {
    "retired_totals": """
        SELECT table_name, (-total)::text, '0' FROM fraud.retired_totals WHERE figure = 'rows'
    """,
    "fraud_counts": f"""
        SELECT coalesce(kept.window_start, made.window_start)::text,
            (kept.transactions, kept.flagged, kept.amount, kept.flagged_amount, kept.unpriced)::text,
            (made.transactions, made.flagged, made.amount, made.flagged_amount, made.unpriced)::text
        FROM (
            SELECT {_window(10, "window_start", "fraud_counts")} AS window_start, sum(transactions) AS transactions,
                sum(flagged) AS flagged, sum(amount) AS amount, sum(flagged_amount) AS flagged_amount,
                sum(unpriced) AS unpriced
            FROM fraud.fraud_counts GROUP BY 1
        ) kept FULL JOIN (
            SELECT {_window(10, "event_time", "fraud_counts")} AS window_start,
                count(*) AS transactions, count(*) FILTER (WHERE {DECIDED}) AS flagged,
                coalesce(sum(round(amount * exchange_rate, 4)), 0) AS amount,
                coalesce(sum(round(amount * exchange_rate, 4)) FILTER (WHERE {DECIDED}), 0) AS flagged_amount,
                sum((exchange_rate IS NULL)::int) AS unpriced
            FROM fraud.scored_transactions GROUP BY 1
        ) made USING (window_start)
        WHERE (kept.transactions, kept.flagged, kept.amount, kept.flagged_amount, kept.unpriced)
            IS DISTINCT FROM (made.transactions, made.flagged, made.amount, made.flagged_amount, made.unpriced)
    """,
    "segment_counts": f"""
        SELECT concat_ws(' ', window_start, shop, country, method, decision), (kept.sums)::text, (made.sums)::text
        FROM (
            SELECT {_window(900, "window_start", "segment_counts")} AS window_start, shop, shipping_country AS country,
                payment_method AS method, decision,
                (sum(transactions), sum(flagged), sum(amount), sum(flagged_amount), sum(unpriced))::text AS sums
            FROM fraud.segment_counts GROUP BY 1, 2, 3, 4, 5
        ) kept FULL JOIN (
            SELECT {_window(900, "event_time", "segment_counts")} AS window_start, shop,
                coalesce(shipping_country, '') AS country, coalesce(payment_method, '') AS method,
                CASE WHEN decision IS NOT NULL THEN decision WHEN is_fraud THEN 'review' ELSE 'allow' END AS decision,
                (count(*), count(*) FILTER (WHERE {DECIDED}),
                    coalesce(sum(round(amount * exchange_rate, 4)), 0),
                    coalesce(sum(round(amount * exchange_rate, 4)) FILTER (WHERE {DECIDED}), 0),
                    sum((exchange_rate IS NULL)::int))::text AS sums
            FROM fraud.scored_transactions GROUP BY 1, 2, 3, 4, 5
        ) made USING (window_start, shop, country, method, decision)
        WHERE kept.sums IS DISTINCT FROM made.sums
    """,
    "flagged_sessions": f"""
        SELECT customer_id || ' ' || session_id, (kept.flagged_at IS NOT NULL)::text, (made.fraud IS NOT NULL)::text
        FROM fraud.flagged_sessions kept FULL JOIN (SELECT *, true AS fraud FROM ({FLAGGED}) f) made
            USING (customer_id, session_id)
        WHERE (kept.flagged_at IS NULL OR made.fraud IS NULL) AND session_id NOT LIKE 'of %'
    """,
    "counted_in_sales": f"""
        SELECT transaction_id, counted_in_sales::text, (NOT counted_in_sales)::text FROM fraud.scored_transactions
        WHERE counted_in_sales = ((customer_id, {SESSION}) IN ({FLAGGED}))
    """,
    "product_sales": f"""
        SELECT concat_ws(' ', coalesce(kept.window_start, made.window_start), product_id, shop),
            (kept.units, kept.revenue)::text, (made.units, made.revenue)::text
        FROM (
            SELECT {_window(30, "window_start", "product_sales")} AS window_start, product_id, shop,
                sum(units) AS units, sum(revenue) AS revenue
            FROM fraud.product_sales GROUP BY 1, 2, 3
        ) kept FULL JOIN (
            SELECT {_window(30, "event_time", "product_sales")} AS window_start,
                item.product_id, shop, sum(item.quantity) AS units,
                sum(item.quantity * round(item.unit_price * exchange_rate, 4)) AS revenue
            FROM fraud.scored_transactions,
                jsonb_to_recordset(items) AS item (product_id text, quantity bigint, unit_price numeric)
            WHERE (customer_id, {SESSION}) NOT IN ({FLAGGED})
            GROUP BY 1, 2, 3
        ) made USING (window_start, product_id, shop)
        WHERE coalesce(kept.units, 0) <> coalesce(made.units, 0)
            OR coalesce(kept.revenue, 0) <> coalesce(made.revenue, 0)
    """,
    "segment_sales": f"""
        SELECT concat_ws(' ', window_start, product_id, shop, country, method, decision),
            (kept.units, kept.revenue)::text, (made.units, made.revenue)::text
        FROM (
            SELECT {_window(3600, "window_start", "segment_sales", "1 day")} AS window_start, product_id, shop,
                shipping_country AS country, payment_method AS method, decision,
                sum(units) AS units, sum(revenue) AS revenue
            FROM fraud.segment_sales GROUP BY 1, 2, 3, 4, 5, 6
        ) kept FULL JOIN (
            SELECT {_window(3600, "event_time", "segment_sales", "1 day")} AS window_start, item.product_id, shop,
                coalesce(shipping_country, '') AS country, coalesce(payment_method, '') AS method,
                CASE WHEN decision IS NOT NULL THEN decision WHEN is_fraud THEN 'review' ELSE 'allow' END AS decision,
                sum(item.quantity) AS units,
                sum(item.quantity * round(item.unit_price * exchange_rate, 4)) AS revenue
            FROM fraud.scored_transactions,
                jsonb_to_recordset(items) AS item (product_id text, quantity bigint, unit_price numeric)
            WHERE (customer_id, {SESSION}) NOT IN ({FLAGGED})
            GROUP BY 1, 2, 3, 4, 5, 6
        ) made USING (window_start, product_id, shop, country, method, decision)
        WHERE coalesce(kept.units, 0) <> coalesce(made.units, 0)
            OR coalesce(kept.revenue, 0) <> coalesce(made.revenue, 0)
    """,
    "fraud_locations": f"""
        SELECT concat_ws(' ', coalesce(kept.window_start, made.window_start), shipping_country, shipping_city),
            kept.flagged::text, made.flagged::text
        FROM (
            SELECT {_window(60, "window_start", "fraud_locations")} AS window_start, shipping_country, shipping_city,
                sum(flagged) AS flagged
            FROM fraud.fraud_locations GROUP BY 1, 2, 3
        ) kept FULL JOIN (
            SELECT {_window(60, "event_time", "fraud_locations")} AS window_start,
                shipping_country, shipping_city, count(*) AS flagged
            FROM fraud.scored_transactions
            WHERE {DECIDED} AND num_nulls(shipping_country, shipping_city, shipping_latitude, shipping_longitude) = 0
            GROUP BY 1, 2, 3
        ) made USING (window_start, shipping_country, shipping_city)
        WHERE kept.flagged IS DISTINCT FROM made.flagged
    """,
    "fraud_alerts": f"""
        SELECT coalesce(a.transaction_id, t.transaction_id), count(a.*)::text, count(t.*)::text
        FROM fraud.fraud_alerts a
        FULL JOIN (SELECT DISTINCT transaction_id FROM fraud.scored_transactions WHERE {ALERTED}) t
            USING (transaction_id)
        GROUP BY 1 HAVING count(a.*) <> count(t.*)
    """,
    "stream_offsets": """
        SELECT o.topic || '/' || o.kafka_partition, (o.next_offset - o.first_offset)::text,
            (o.scored + o.browse_events + o.labels + o.dead_lettered + o.duplicates)::text
        FROM fraud.stream_offsets o
        WHERE o.next_offset - o.first_offset <> o.scored + o.browse_events + o.labels + o.dead_lettered + o.duplicates
    """,
    "stream_offsets against rows": """
        SELECT o.topic || '/' || o.kafka_partition, (o.scored, o.labels, o.dead_lettered)::text,
            (r.scored, r.labels, r.dead_lettered)::text
        FROM fraud.stream_offsets o, LATERAL (
            SELECT
                (SELECT count(*) FROM fraud.scored_transactions t
                 WHERE o.topic = 'transactions' AND t.kafka_partition = o.kafka_partition) AS scored,
                (SELECT count(*) FROM fraud.transaction_labels l
                 WHERE o.topic = 'transaction-labels' AND l.kafka_partition = o.kafka_partition) AS labels,
                (SELECT count(*) FROM fraud.dead_letters d
                 WHERE d.topic = o.topic AND d.kafka_partition = o.kafka_partition) AS dead_lettered
        ) r
        WHERE (o.scored, o.labels, o.dead_lettered) <> (r.scored, r.labels, r.dead_lettered)
    """,
}


def differences(database: psycopg.Connection[tuple[Any, ...]]) -> Iterator[str]:
    """What the tables keep and what their rows say, where these differ."""
    for table, query in COMPARED.items():
        for name, kept, made in database.execute(query).fetchmany(5):
            yield f"{table} {name}: {kept} is kept, {made} follows from the rows"
