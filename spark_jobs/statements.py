"""The sink's SQL. Every statement of `APPLY` runs once a micro-batch, in this order, with the parameter `batch_id`."""

from fraudstream.storage.tables import ID_HASH

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
)
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
    "counted_in_sales",
)
_LABEL_COLUMNS = (
    "transaction_id",
    "is_fraud",
    "source",
    "labelled_at",
    "ingest_time",
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
    "CREATE TEMPORARY TABLE IF NOT EXISTS newly_flagged (session_id text) ON COMMIT DELETE ROWS",
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_repeats
        (transaction_id text, content_hash bigint, kafka_partition int, kafka_offset bigint) ON COMMIT DELETE ROWS
    """,
)
COPY_REPEATS = "COPY staged_repeats (transaction_id, content_hash, kafka_partition, kafka_offset) FROM STDIN"
COPY_TRANSACTIONS = _copy("scored_transactions", _TRANSACTION_COLUMNS)
COPY_LABELS = _copy("transaction_labels", _LABEL_COLUMNS)
COPY_DEAD_LETTERS = _copy("dead_letters", _DEAD_LETTER_COLUMNS)

#: A locked table fails the transaction after a while, so that the job can say what it waits for, and try again.
WAIT_FOR_LOCKS = "SET LOCAL lock_timeout = '5s'"

DEAD_LETTERS = f"""
INSERT INTO fraud.dead_letters ({", ".join(_DEAD_LETTER_COLUMNS)})
SELECT {", ".join(_DEAD_LETTER_COLUMNS)} FROM staged_dead_letters
"""  # noqa: S608 (constants)

_LABELS = f"""
INSERT INTO fraud.transaction_labels ({", ".join(_LABEL_COLUMNS)})
SELECT {", ".join(_LABEL_COLUMNS)} FROM staged_transaction_labels
"""  # noqa: S608 (constants)

# A session is flagged by the decision, or by a label, whichever of label and transaction comes first.
_FLAG_SESSIONS = """
WITH flagged AS (
    SELECT session_id FROM staged_scored_transactions WHERE is_fraud
    UNION
    SELECT s.session_id FROM staged_scored_transactions s JOIN fraud.transaction_labels l USING (transaction_id)
    WHERE l.is_fraud
    UNION
    SELECT t.session_id FROM staged_transaction_labels l JOIN fraud.scored_transactions t USING (transaction_id)
    WHERE l.is_fraud
), added AS (
    INSERT INTO fraud.flagged_sessions (session_id) SELECT session_id FROM flagged
    ON CONFLICT (session_id) DO NOTHING RETURNING session_id
)
INSERT INTO newly_flagged SELECT session_id FROM added
"""

_WINDOW_30_S = "date_bin('30 seconds', event_time, timestamptz '2000-01-01 00:00:00+00')"

# What was sold in a session before it was flagged is taken back. Of a window that was thinned since, what is taken back
# is a row of its own, until the next thinning.
_RETRACT_SALES = f"""
WITH retracted AS (
    UPDATE fraud.scored_transactions SET counted_in_sales = false
    WHERE counted_in_sales AND session_id IN (SELECT session_id FROM newly_flagged)
    RETURNING event_time, items
), sold AS (
    SELECT {_WINDOW_30_S} AS window_start, item.product_id, sum(item.quantity) AS units,
        sum(item.quantity * round(item.unit_price, 2)) AS revenue
    FROM retracted, jsonb_to_recordset(items) AS item (product_id text, quantity bigint, unit_price numeric)
    GROUP BY 1, 2
)
INSERT INTO fraud.product_sales AS p (window_start, product_id, units, revenue, batch_id)
SELECT window_start, product_id, -units, -revenue, %(batch_id)s FROM sold
ON CONFLICT (window_start, product_id) DO UPDATE
SET units = p.units + excluded.units, revenue = p.revenue + excluded.revenue, batch_id = excluded.batch_id
"""  # noqa: S608 (constants)

_INSERT_TRANSACTIONS = f"""
INSERT INTO fraud.scored_transactions ({", ".join(_TRANSACTION_COLUMNS)})
SELECT DISTINCT ON (transaction_id) {", ".join(_TRANSACTION_COLUMNS[:-1])},
    NOT EXISTS (SELECT FROM fraud.flagged_sessions f WHERE f.session_id = s.session_id)
FROM staged_scored_transactions s
WHERE NOT EXISTS (SELECT FROM fraud.retired_transactions r WHERE r.id_hash = {ID_HASH.format(of="s")})
ORDER BY transaction_id, ingest_time, kafka_partition, kafka_offset
ON CONFLICT (transaction_id) DO NOTHING
"""  # noqa: S608 (constants)

_ADD_SALES = f"""
INSERT INTO fraud.product_sales AS p (window_start, product_id, units, revenue, batch_id)
SELECT {_WINDOW_30_S}, item.product_id, sum(item.quantity), sum(item.quantity * round(item.unit_price, 2)), %(batch_id)s
FROM fraud.scored_transactions,
    jsonb_to_recordset(items) AS item (product_id text, quantity bigint, unit_price numeric)
WHERE batch_id = %(batch_id)s AND counted_in_sales
GROUP BY 1, 2
ON CONFLICT (window_start, product_id) DO UPDATE
SET units = p.units + excluded.units, revenue = p.revenue + excluded.revenue, batch_id = excluded.batch_id
"""  # noqa: S608 (constants)

_FRAUD_COUNTS = """
INSERT INTO fraud.fraud_counts AS c (window_start, transactions, flagged, amount, flagged_amount)
SELECT date_bin('10 seconds', event_time, timestamptz '2000-01-01 00:00:00+00'), count(*),
    count(*) FILTER (WHERE is_fraud), sum(amount), coalesce(sum(amount) FILTER (WHERE is_fraud), 0)
FROM fraud.scored_transactions WHERE batch_id = %(batch_id)s
GROUP BY 1
ON CONFLICT (window_start) DO UPDATE
SET transactions = c.transactions + excluded.transactions, flagged = c.flagged + excluded.flagged,
    amount = c.amount + excluded.amount, flagged_amount = c.flagged_amount + excluded.flagged_amount
"""

_FRAUD_LOCATIONS = """
INSERT INTO fraud.fraud_locations AS l
    (window_start, shipping_country, shipping_city, latitude, longitude, flagged, flagged_amount)
SELECT date_bin('60 seconds', event_time, timestamptz '2000-01-01 00:00:00+00'), shipping_country, shipping_city,
    avg(shipping_latitude), avg(shipping_longitude), count(*), sum(amount)
FROM fraud.scored_transactions WHERE batch_id = %(batch_id)s AND is_fraud
GROUP BY 1, 2, 3
ON CONFLICT (window_start, shipping_country, shipping_city) DO UPDATE
SET flagged = l.flagged + excluded.flagged, flagged_amount = l.flagged_amount + excluded.flagged_amount
"""

_ALERTS = """
INSERT INTO fraud.fraud_alerts (transaction_id, customer_id, event_time, amount, currency, shipping_city,
    shipping_country, fraud_score, reasons, model_version)
SELECT transaction_id, customer_id, event_time, amount, currency, shipping_city, shipping_country, fraud_score, reasons,
    model_version
FROM fraud.scored_transactions WHERE batch_id = %(batch_id)s AND is_fraud
"""

# The newest label of a transaction decides, whichever of label and alert comes first.
_DECIDE_ALERTS = """
WITH decided AS (
    SELECT DISTINCT ON (l.transaction_id) l.transaction_id, l.is_fraud, l.labelled_at
    FROM fraud.transaction_labels l JOIN fraud.fraud_alerts a USING (transaction_id)
    WHERE l.transaction_id IN (
        SELECT transaction_id FROM staged_transaction_labels
        UNION SELECT transaction_id FROM staged_scored_transactions WHERE is_fraud
    )
    ORDER BY l.transaction_id, l.labelled_at DESC, l.label_id DESC
)
UPDATE fraud.fraud_alerts a
SET status = CASE WHEN d.is_fraud THEN 'confirmed' ELSE 'dismissed' END, decided_at = d.labelled_at
FROM decided d WHERE d.transaction_id = a.transaction_id
"""

APPLY = (
    _LABELS,
    _FLAG_SESSIONS,
    _RETRACT_SALES,
    _INSERT_TRANSACTIONS,
    _ADD_SALES,
    _FRAUD_COUNTS,
    _FRAUD_LOCATIONS,
    _ALERTS,
    _DECIDE_ALERTS,
)

# Scored once more, since their ids were no longer in the profile's memory.
REPEATED = """
INSERT INTO staged_repeats
SELECT s.transaction_id, s.content_hash, s.kafka_partition, s.kafka_offset
FROM staged_scored_transactions s
WHERE NOT EXISTS (
    SELECT FROM fraud.scored_transactions t
    WHERE t.transaction_id = s.transaction_id AND t.batch_id = s.batch_id
        AND t.kafka_partition = s.kafka_partition AND t.kafka_offset = s.kafka_offset
)
RETURNING kafka_partition, kafka_offset
"""

# Rows from before contents were hashed conflict with nothing.
CONFLICTS = f"""
SELECT r.kafka_partition, r.kafka_offset, t.kafka_partition, t.kafka_offset
FROM staged_repeats r JOIN fraud.scored_transactions t USING (transaction_id)
WHERE t.content_hash <> r.content_hash
UNION ALL
SELECT r.kafka_partition, r.kafka_offset, t.kafka_partition, t.kafka_offset
FROM staged_repeats r JOIN fraud.retired_transactions t ON t.id_hash = {ID_HASH.format(of="r")}
WHERE t.content_hash <> r.content_hash
"""  # noqa: S608 (constants)

INSERTED = """
SELECT kafka_partition, ingest_time, late, is_fraud FROM fraud.scored_transactions WHERE batch_id = %(batch_id)s
"""

# --- what is published, read back from what was committed ---------------------------------------------------------

SCORED_TO_PUBLISH = f"""
SELECT {", ".join(TRANSACTION_FIELDS)}, items, fraud_score, is_fraud, threshold, reasons, model_version, scored_at
FROM fraud.scored_transactions WHERE batch_id = %s ORDER BY kafka_partition, kafka_offset
"""  # noqa: S608 (constants)

# Of a window that was thinned, the whole is no longer known.
SALES_TO_PUBLISH = """
SELECT product_id, window_start, units, revenue FROM fraud.product_sales
WHERE batch_id = %s AND window_start >= coalesce(
    (SELECT thinned_until FROM fraud.rollup_horizons WHERE table_name = 'product_sales'), '-infinity')
ORDER BY window_start, product_id
"""

DEAD_LETTERS_TO_PUBLISH = """
SELECT topic, kafka_partition, kafka_offset, reason, key, payload FROM fraud.dead_letters WHERE batch_id = %s
ORDER BY topic, kafka_partition, kafka_offset
"""
