"""The sink's SQL. Every statement of `APPLY` runs once a micro-batch, in this order, with the parameter `batch_id`."""

from fraudstream.storage.expressions import (
    ALERTED,
    DECISION,
    FLAGGED,
    ID_HASH,
    PLACED,
    SHOP_AMOUNT,
    SHOP_PRICE,
    VERDICT,
)
from spark_jobs import rule_sink

#: The transaction's own columns, copied as they are.
TRANSACTION_FIELDS = (
    "transaction_id",
    "session_id",
    "customer_id",
    "event_time",
    "amount",
    "currency",
    "payment_method",
    "card_token",
    "promo_code",
    "promo_amount",
    "shipping_fee",
    "shipping_city",
    "shipping_country",
    "shipping_latitude",
    "shipping_longitude",
    "ip_country",
    "device_id",
    "shop",
    "terminal_id",
)
#: Those that are money, in the transaction's currency.
MONEY_FIELDS = frozenset({"amount", "promo_amount", "shipping_fee"})
_TRANSACTION_COLUMNS = (
    *TRANSACTION_FIELDS,
    "items",
    "fraud_score",
    "is_fraud",
    "threshold",
    "reasons",
    "model_version",
    "scored_at",
    "late",
    "ingest_time",
    "kafka_partition",
    "kafka_offset",
    "batch_id",
    "challenger_version",
    "challenger_score",
    "content_hash",
    "exchange_rate",
    "policy_version",
    "decision",
    "matched_rules",
    "review_probability",
    "topic",
    "counted_in_sales",
)
_LABEL_COLUMNS = (
    "transaction_id",
    "is_fraud",
    "source",
    "labelled_at",
    "ingest_time",
    "topic",
    "kafka_partition",
    "kafka_offset",
    "batch_id",
)
_DEAD_LETTER_COLUMNS = (
    "topic",
    "kafka_partition",
    "kafka_offset",
    "reason",
    "detail",
    "key",
    "payload",
    "redacted",
    "ingest_time",
    "batch_id",
)


def _staging(table: str, columns: tuple[str, ...]) -> str:
    names = ", ".join(columns)
    return (
        f"CREATE TEMPORARY TABLE IF NOT EXISTS staged_{table} ON COMMIT DELETE ROWS AS "  # noqa: S608 (constants)
        f"SELECT {names} FROM fraud.{table} WITH NO DATA"
    )


def _copy(table: str, columns: tuple[str, ...]) -> str:
    return f"COPY staged_{table} ({', '.join(columns)}) FROM STDIN"


CREATE_STAGING = (
    _staging("scored_transactions", _TRANSACTION_COLUMNS),
    _staging("transaction_labels", _LABEL_COLUMNS),
    _staging("dead_letters", _DEAD_LETTER_COLUMNS),
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS turned_sessions
        (customer_id text, session_id text, transaction_id text, flagged boolean) ON COMMIT DELETE ROWS
    """,
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_repeats
        (transaction_id text, content_hash bigint, topic text, kafka_partition int, kafka_offset bigint)
        ON COMMIT DELETE ROWS
    """,
    rule_sink.CREATE_STAGING,
)
COPY_REPEATS = "COPY staged_repeats (transaction_id, content_hash, topic, kafka_partition, kafka_offset) FROM STDIN"
COPY_TRANSACTIONS = _copy("scored_transactions", _TRANSACTION_COLUMNS)
COPY_LABELS = _copy("transaction_labels", _LABEL_COLUMNS)
COPY_DEAD_LETTERS = _copy("dead_letters", _DEAD_LETTER_COLUMNS)

#: A locked table fails the transaction after a while, so that the job can say what it waits for, and try again.
WAIT_FOR_LOCKS = "SET LOCAL lock_timeout = '5s'"

#: Of all that was staged: what was refused as a repeat isn't published. Binary, since text would double the bytes.
KEEP_FEATURES = """
WITH named AS (
    INSERT INTO fraud.feature_sets (feature_set, names) VALUES (%(set)s, %(names)s) ON CONFLICT DO NOTHING
)
INSERT INTO fraud.batch_features (batch_id, feature_set, features, topics)
VALUES (%(batch_id)s, %(set)s, %(block)b, %(topics)s)
"""
FEATURES_TO_PUBLISH = """
SELECT feature_set, features, topics FROM fraud.batch_features WHERE batch_id = %s
"""

DEAD_LETTERS = f"""
INSERT INTO fraud.dead_letters ({", ".join(_DEAD_LETTER_COLUMNS)})
SELECT {", ".join(_DEAD_LETTER_COLUMNS)} FROM staged_dead_letters
"""  # noqa: S608 (constants)

_LABELS = f"""
INSERT INTO fraud.transaction_labels ({", ".join(_LABEL_COLUMNS)})
SELECT {", ".join(_LABEL_COLUMNS)} FROM staged_transaction_labels
"""  # noqa: S608 (constants)

_INSERT_TRANSACTIONS = f"""
INSERT INTO fraud.scored_transactions ({", ".join(_TRANSACTION_COLUMNS)})
SELECT DISTINCT ON (transaction_id) {", ".join(_TRANSACTION_COLUMNS[:-1])},
    NOT EXISTS (
        SELECT FROM fraud.flagged_sessions f WHERE (f.customer_id, f.session_id) = (s.customer_id, s.session_id)
    )
FROM staged_scored_transactions s
WHERE NOT EXISTS (SELECT FROM fraud.retired_transactions r WHERE r.id_hash = {ID_HASH.format(of="s")})
ORDER BY transaction_id, ingest_time, kafka_partition, kafka_offset, topic
ON CONFLICT (transaction_id) DO NOTHING
"""  # noqa: S608 (constants)

_VERDICT = VERDICT.format(of="t")

# A session is flagged while any of its transactions is fraud, or a fraud of it was deleted for its age. Looked at are
# what the batch inserted (never what it staged: a refused repeat is among that) and what it labelled; a session's
# others only where a label may have cleared it.
_TURN_SESSIONS = f"""
WITH touched AS (
    SELECT t.customer_id, t.session_id, {_VERDICT} AS fraud, false AS labelled
    FROM fraud.scored_transactions t WHERE batch_id = %(batch_id)s AND session_id IS NOT NULL
    UNION ALL
    SELECT t.customer_id, t.session_id, {_VERDICT}, true
    FROM (SELECT DISTINCT transaction_id FROM staged_transaction_labels) labelled
    JOIN fraud.scored_transactions t USING (transaction_id)
    WHERE session_id IS NOT NULL
), sessions AS (
    SELECT customer_id, session_id, bool_or(fraud) AS fraud, bool_or(labelled) AS labelled FROM touched GROUP BY 1, 2
)
INSERT INTO turned_sessions (customer_id, session_id, flagged)
SELECT s.customer_id, s.session_id, s.fraud
FROM sessions s LEFT JOIN fraud.flagged_sessions f USING (customer_id, session_id)
WHERE CASE
    WHEN s.fraud THEN f.flagged_at IS NULL
    ELSE f.flagged_at IS NOT NULL AND NOT f.fraud_retired AND s.labelled AND NOT EXISTS (
        SELECT FROM fraud.scored_transactions t
        WHERE (t.customer_id, t.session_id) = (s.customer_id, s.session_id) AND {_VERDICT}
    )
END
"""  # noqa: S608 (constants)

# A transaction without a session is one by itself: whether it is flagged stands in its own row.
_TURN_SINGLE = f"""
INSERT INTO turned_sessions (transaction_id, flagged)
SELECT transaction_id, fraud FROM (
    SELECT transaction_id, counted_in_sales, {_VERDICT} AS fraud
    FROM fraud.scored_transactions t WHERE batch_id = %(batch_id)s AND session_id IS NULL
    UNION
    SELECT transaction_id, counted_in_sales, {_VERDICT}
    FROM (SELECT DISTINCT transaction_id FROM staged_transaction_labels) labelled
    JOIN fraud.scored_transactions t USING (transaction_id)
    WHERE session_id IS NULL
) touched
WHERE counted_in_sales = fraud
"""  # noqa: S608 (constants)

_FLAG_SESSIONS = """
INSERT INTO fraud.flagged_sessions (customer_id, session_id)
SELECT customer_id, session_id FROM turned_sessions WHERE flagged AND session_id IS NOT NULL
"""

_CLEAR_SESSIONS = """
DELETE FROM fraud.flagged_sessions f USING turned_sessions s
WHERE (f.customer_id, f.session_id) = (s.customer_id, s.session_id) AND NOT s.flagged
"""

_WINDOW_30_S = "date_bin('30 seconds', event_time, timestamptz '2000-01-01 00:00:00+00')"
_OF_SEGMENT = f"""coalesce(shipping_country, '') AS shipping_country, coalesce(payment_method, '') AS payment_method,
    {DECISION} AS decision"""
# From lines `sold`, which are read from the orders once; what goes to segments isn't published.
_ADD_SOLD = f"""
segments AS (
    INSERT INTO fraud.segment_sales AS s
        (window_start, product_id, shop, shipping_country, payment_method, decision, units, revenue)
    SELECT date_bin('1 hour', event_time, timestamptz '2000-01-01 00:00:00+00'), product_id, shop, shipping_country,
        payment_method, decision, sum(units), coalesce(sum(revenue), 0)
    FROM sold
    GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (window_start, product_id, shop, shipping_country, payment_method, decision) DO UPDATE
    SET units = s.units + excluded.units, revenue = s.revenue + excluded.revenue
)
INSERT INTO fraud.product_sales AS p (window_start, product_id, shop, units, revenue, batch_id)
SELECT {_WINDOW_30_S}, product_id, shop, sum(units), coalesce(sum(revenue), 0), %(batch_id)s
FROM sold
GROUP BY 1, 2, 3
ON CONFLICT (window_start, product_id, shop) DO UPDATE
SET units = p.units + excluded.units, revenue = p.revenue + excluded.revenue, batch_id = excluded.batch_id
"""  # noqa: S608 (constants)

_TURNED = """t.batch_id, t.event_time, t.shop, t.items, t.exchange_rate, t.shipping_country, t.payment_method,
        t.decision, t.is_fraud, s.flagged"""
# What was sold before in a session is taken back when it is flagged, and comes back when it is cleared. Of this batch's
# own rows only the mark changes here: `_ADD_SALES` counts them. Of a window that was thinned or deleted since, what
# moves is a row of its own, which isn't published, until the next thinning.
_MOVE_SALES = f"""
WITH of_session AS (
    UPDATE fraud.scored_transactions t SET counted_in_sales = NOT s.flagged
    FROM turned_sessions s
    WHERE (t.customer_id, t.session_id) = (s.customer_id, s.session_id) AND t.counted_in_sales = s.flagged
    RETURNING {_TURNED}
), single AS (
    UPDATE fraud.scored_transactions t SET counted_in_sales = NOT s.flagged
    FROM turned_sessions s
    WHERE t.transaction_id = s.transaction_id
    RETURNING {_TURNED}
), moved AS (
    SELECT *, CASE WHEN flagged THEN -1 ELSE 1 END AS direction
    FROM (SELECT * FROM of_session UNION ALL SELECT * FROM single) turned
), sold AS (
    SELECT event_time, item.product_id, shop, {_OF_SEGMENT}, direction * item.quantity AS units,
        direction * item.quantity * {SHOP_PRICE} AS revenue
    FROM moved, jsonb_to_recordset(items) AS item (product_id text, quantity bigint, unit_price numeric)
    WHERE moved.batch_id <> %(batch_id)s
), {_ADD_SOLD}
"""  # noqa: S608 (constants)

_ADD_SALES = f"""
WITH sold AS (
    SELECT event_time, item.product_id, shop, {_OF_SEGMENT}, item.quantity AS units,
        item.quantity * {SHOP_PRICE} AS revenue
    FROM fraud.scored_transactions,
        jsonb_to_recordset(items) AS item (product_id text, quantity bigint, unit_price numeric)
    WHERE batch_id = %(batch_id)s AND counted_in_sales
), {_ADD_SOLD}
"""  # noqa: S608 (constants)

_COUNTED = f"""count(*), count(*) FILTER (WHERE {FLAGGED}),
    coalesce(sum({SHOP_AMOUNT}), 0), coalesce(sum({SHOP_AMOUNT}) FILTER (WHERE {FLAGGED}), 0),
    count(*) FILTER (WHERE exchange_rate IS NULL), count(*) FILTER (WHERE exchange_rate IS NULL AND {FLAGGED})"""
_ADD_TO_COUNTS = """DO UPDATE
SET transactions = c.transactions + excluded.transactions, flagged = c.flagged + excluded.flagged,
    amount = c.amount + excluded.amount, flagged_amount = c.flagged_amount + excluded.flagged_amount,
    unpriced = c.unpriced + excluded.unpriced, flagged_unpriced = c.flagged_unpriced + excluded.flagged_unpriced"""

_FRAUD_COUNTS = f"""
INSERT INTO fraud.fraud_counts AS c
    (window_start, shop, transactions, flagged, amount, flagged_amount, unpriced, flagged_unpriced)
SELECT date_bin('10 seconds', event_time, timestamptz '2000-01-01 00:00:00+00'), shop, {_COUNTED}
FROM fraud.scored_transactions WHERE batch_id = %(batch_id)s
GROUP BY 1, 2
ON CONFLICT (window_start, shop) {_ADD_TO_COUNTS}
"""  # noqa: S608 (constants)

_SEGMENT_COUNTS = f"""
INSERT INTO fraud.segment_counts AS c (window_start, shop, shipping_country, payment_method, decision,
    transactions, flagged, amount, flagged_amount, unpriced, flagged_unpriced)
SELECT date_bin('15 minutes', event_time, timestamptz '2000-01-01 00:00:00+00'), shop, coalesce(shipping_country, ''),
    coalesce(payment_method, ''), {DECISION}, {_COUNTED}
FROM fraud.scored_transactions WHERE batch_id = %(batch_id)s
GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (window_start, shop, shipping_country, payment_method, decision) {_ADD_TO_COUNTS}
"""  # noqa: S608 (constants)

_FRAUD_LOCATIONS = f"""
INSERT INTO fraud.fraud_locations AS l
    (window_start, shipping_country, shipping_city, shop, latitude, longitude, flagged, flagged_amount)
SELECT date_bin('60 seconds', event_time, timestamptz '2000-01-01 00:00:00+00'), shipping_country, shipping_city, shop,
    avg(shipping_latitude), avg(shipping_longitude), count(*), coalesce(sum({SHOP_AMOUNT}), 0)
FROM fraud.scored_transactions WHERE batch_id = %(batch_id)s AND {FLAGGED} AND {PLACED}
GROUP BY 1, 2, 3, 4
ON CONFLICT (window_start, shipping_country, shipping_city, shop) DO UPDATE
SET flagged = l.flagged + excluded.flagged, flagged_amount = l.flagged_amount + excluded.flagged_amount
"""  # noqa: S608 (constants)

_ALERT_COLUMNS = """transaction_id, customer_id, event_time, amount, currency, exchange_rate, shipping_city,
    shipping_country, shop, payment_method, fraud_score, reasons, model_version, policy_version, decision,
    matched_rules, review_probability"""
_ALERTS = f"""
INSERT INTO fraud.fraud_alerts ({_ALERT_COLUMNS})
SELECT {_ALERT_COLUMNS}
FROM fraud.scored_transactions WHERE batch_id = %(batch_id)s AND {ALERTED}
"""  # noqa: S608 (constants)

# The newest label of a transaction decides, whichever of label and alert comes first.
_DECIDE_ALERTS = f"""
WITH decided AS (
    SELECT DISTINCT ON (l.transaction_id) l.transaction_id, l.is_fraud, l.labelled_at
    FROM fraud.transaction_labels l JOIN fraud.fraud_alerts a USING (transaction_id)
    WHERE l.transaction_id IN (
        SELECT transaction_id FROM staged_transaction_labels
        UNION SELECT transaction_id FROM fraud.scored_transactions WHERE batch_id = %(batch_id)s AND {ALERTED}
    )
    ORDER BY l.transaction_id, l.labelled_at DESC, l.label_id DESC
)
UPDATE fraud.fraud_alerts a
SET status = CASE WHEN d.is_fraud THEN 'confirmed' ELSE 'dismissed' END, decided_at = d.labelled_at
FROM decided d WHERE d.transaction_id = a.transaction_id
"""  # noqa: S608 (constants)

APPLY = (
    _LABELS,
    _INSERT_TRANSACTIONS,
    _TURN_SESSIONS,
    _TURN_SINGLE,
    _FLAG_SESSIONS,
    _CLEAR_SESSIONS,
    _MOVE_SALES,
    _ADD_SALES,
    _FRAUD_COUNTS,
    _SEGMENT_COUNTS,
    _FRAUD_LOCATIONS,
    _ALERTS,
    _DECIDE_ALERTS,
)

# Scored once more, since their ids were no longer in the profile's memory.
REPEATED = """
INSERT INTO staged_repeats
SELECT s.transaction_id, s.content_hash, s.topic, s.kafka_partition, s.kafka_offset
FROM staged_scored_transactions s
WHERE NOT EXISTS (
    SELECT FROM fraud.scored_transactions t
    WHERE t.transaction_id = s.transaction_id AND t.batch_id = s.batch_id
        AND t.kafka_partition = s.kafka_partition AND t.kafka_offset = s.kafka_offset AND t.topic = s.topic
)
RETURNING topic, kafka_partition, kafka_offset
"""

# Rows from before contents were hashed conflict with nothing.
CONFLICTS = f"""
SELECT r.topic, r.kafka_partition, r.kafka_offset, t.topic, t.kafka_partition, t.kafka_offset
FROM staged_repeats r JOIN fraud.scored_transactions t USING (transaction_id)
WHERE t.content_hash <> r.content_hash
UNION ALL
SELECT r.topic, r.kafka_partition, r.kafka_offset, NULL, t.kafka_partition, t.kafka_offset
FROM staged_repeats r JOIN fraud.retired_transactions t ON t.id_hash = {ID_HASH.format(of="r")}
WHERE t.content_hash <> r.content_hash
"""  # noqa: S608 (constants)

INSERTED = f"""
SELECT topic, kafka_partition, ingest_time, late, {FLAGGED} FROM fraud.scored_transactions WHERE batch_id = %(batch_id)s
"""  # noqa: S608 (constants)

# --- what is published, read back from what was committed ---------------------------------------------------------

SCORED_TO_PUBLISH = f"""
SELECT {", ".join(TRANSACTION_FIELDS)}, items, fraud_score, is_fraud, threshold, reasons, model_version, scored_at,
    {SHOP_AMOUNT} AS shop_amount, decision, policy_version, matched_rules, review_probability, {ALERTED} AS alerted,
    topic, kafka_partition, kafka_offset, challenger_version, challenger_score
FROM fraud.scored_transactions WHERE batch_id = %s ORDER BY kafka_partition, kafka_offset, topic
"""  # noqa: S608 (constants)

# Of a window that was thinned, the whole is no longer known. A product is the same in all shops.
SALES_TO_PUBLISH = """
SELECT product_id, window_start, sum(units)::bigint AS units, sum(revenue) AS revenue FROM fraud.product_sales
WHERE (window_start, product_id) IN (
    SELECT window_start, product_id FROM fraud.product_sales
    WHERE batch_id = %s AND window_start >= coalesce(
        (SELECT thinned_until FROM fraud.rollup_horizons WHERE table_name = 'product_sales'), '-infinity')
)
GROUP BY window_start, product_id
ORDER BY window_start, product_id
"""

DEAD_LETTERS_TO_PUBLISH = """
SELECT topic, kafka_partition, kafka_offset, reason, key, payload FROM fraud.dead_letters WHERE batch_id = %s
ORDER BY topic, kafka_partition, kafka_offset
"""
