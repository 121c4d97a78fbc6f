"""An alert of a shopper who typed markup, for the browser to show."""

MARKUP = "<b>Lyon</b>"
PLANT = """
WITH planted AS (
    INSERT INTO fraud.scored_transactions
    SELECT 'planted', 's-planted', '<i>c1</i>', now(), 20, 'EUR', '[]', 'card', NULL, NULL, 0, 0, %(city)s, 'FR', 45.8,
           4.8, 'FR', 'd1', 0.9, true, 0.5, '[]', 'v1', now(), false, now(), 0, -1, -1, false
    RETURNING transaction_id, customer_id, amount, currency, shipping_city, shipping_country, fraud_score, model_version
)
INSERT INTO fraud.fraud_alerts (transaction_id, customer_id, event_time, amount, currency, shipping_city,
                                shipping_country, fraud_score, reasons, model_version)
SELECT transaction_id, customer_id, now() + interval '1 hour', amount, currency, shipping_city, shipping_country,
       fraud_score, jsonb_build_array(jsonb_build_object('text', %(city)s)), model_version
FROM planted
"""
