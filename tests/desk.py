"""Alerts for tests of the desk, as the stream writes them; and the desk's own code, which lies in Superset's folder."""

import importlib
import sys

import psycopg

from fraudstream.settings import PROJECT_DIR

sys.path.insert(0, str(PROJECT_DIR / "superset"))
decisions = importlib.import_module("desk.decisions")
drawing = importlib.import_module("desk.drawing")
forms = importlib.import_module("desk.forms")
queue = importlib.import_module("desk.queue")
ring = importlib.import_module("desk.ring")
sessions = importlib.import_module("desk.sessions")
rules = importlib.import_module("desk.rules")
thresholds = importlib.import_module("desk.thresholds")
transaction = importlib.import_module("desk.transaction")
words = importlib.import_module("desk.words")

#: Number n of `count`: amount n and score 0.9, n minutes old; every tenth customer, device and card is the same one.
_ALERTS = """
WITH scored AS (
    INSERT INTO fraud.scored_transactions (transaction_id, session_id, customer_id, event_time, amount, currency, items,
        payment_method, card_token, promo_amount, shipping_fee, shipping_city, shipping_country, shipping_latitude,
        shipping_longitude, ip_country, device_id, fraud_score, is_fraud, threshold, reasons, model_version, scored_at,
        late, ingest_time, kafka_partition, kafka_offset, batch_id, counted_in_sales)
    SELECT %(prefix)s || n, 's' || n, 'c' || n %% 10, now() - n * interval '1 minute', n, 'EUR',
        '[{"product_id": "p1", "quantity": 1, "unit_price": 1.0}]', 'card', 'k' || n %% 10, 0, 0, %(city)s,
        CASE n %% 2 WHEN 0 THEN 'FR' ELSE 'DE' END, 48.8566 + n %% 10, 2.3522, 'FR', 'd' || n %% 10, 0.9, true, 0.5,
        jsonb_build_array(jsonb_build_object('text', 'card new to this customer; usual: no')), 'v1', now(), false,
        now(), 0, n, 0, false
    FROM generate_series(1, %(count)s) AS n
    RETURNING *
)
INSERT INTO fraud.fraud_alerts (transaction_id, customer_id, event_time, amount, currency, shipping_city,
    shipping_country, fraud_score, reasons, model_version)
SELECT transaction_id, customer_id, event_time, amount, currency, shipping_city, shipping_country, fraud_score, reasons,
    model_version
FROM scored
"""


def add_alerts(writer: psycopg.Connection, count: int, *, prefix: str = "t", city: str = "Lyon") -> None:
    """Adds alerts `t1` … `tN`, each of an amount that is its number."""
    writer.execute(_ALERTS, {"count": count, "prefix": prefix, "city": city})
