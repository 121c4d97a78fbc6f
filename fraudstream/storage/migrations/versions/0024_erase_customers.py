"""Erase customers: certificates, hashes of what was erased, and the function that erases the rows.

The function works with the owner's rights, so that nobody at work may change a row of the audit log or a transaction,
but for an erasure. Of a transaction it keeps a new row under a pseudonym, with what the books are compared by; all
columns that aren't named here are emptied. Free texts and JSON of all tables but `_UNSWEPT` lose the ids.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
#: What stays of a transaction: the books need it, and it is nobody's by itself.
_KEPT = [
    "event_time",
    "amount",
    "currency",
    "items",
    "payment_method",
    "promo_amount",
    "shipping_fee",
    "shipping_country",
    "shipping_latitude",
    "shipping_longitude",
    "fraud_score",
    "is_fraud",
    "threshold",
    "model_version",
    "scored_at",
    "late",
    "ingest_time",
    "topic",
    "kafka_partition",
    "kafka_offset",
    "batch_id",
    "counted_in_sales",
    "committed_at",
    "challenger_version",
    "challenger_score",
    "exchange_rate",
    "shop",
    "policy_version",
    "decision",
    "matched_rules",
    "review_probability",
]
_KEPT_OF_ALERT = [
    "event_time",
    "amount",
    "currency",
    "shipping_country",
    "fraud_score",
    "model_version",
    "status",
    "created_at",
    "decided_at",
    "exchange_rate",
    "shop",
    "grouped_at",
    "policy_version",
    "decision",
    "matched_rules",
    "review_probability",
]
#: Tables without free text about a customer: erased by their keys, sums, or the platform's own.
_UNSWEPT = [
    "alembic_version",
    "erasures",
    "erased_transactions",
    "scored_transactions",
    "fraud_alerts",
    "transaction_labels",
    "flagged_sessions",
    "customers",
    "past_transactions",
    "past_labels",
    "entity_risk",
    "entity_risk_versions",
    "static_versions",
    "products",
    "currency_rates",
    "product_sales",
    "fraud_counts",
    "fraud_locations",
    "rule_counts",
    "retired_transactions",
    "retired_totals",
    "rollup_horizons",
    "stream_batches",
    "stream_offsets",
    "stream_queries",
    "batch_features",
    "feature_sets",
    "platform_readings",
    "model_health",
    "rescored_days",
]


def _array(names: list[str]) -> str:
    return f"ARRAY[{', '.join(repr(name) for name in names)}]"


def _pseudonym(of: str) -> str:
    """SQL: a name that is the same for equal values within one call, and that nobody can find again."""
    return f"'erased-' || left(encode(sha256(convert_to(mark || {of}, 'UTF8')), 'hex'), 24)"


def _hash(of: str) -> str:
    return f"encode(sha256(convert_to(salted || {of}, 'UTF8')), 'hex')"


#: The reasons of a flag, without the customer's values.
_REASONS = """(SELECT coalesce(jsonb_agg(jsonb_build_object(
    'feature', reason -> 'feature', 'contribution', reason -> 'contribution', 'value', NULL, 'text', '')), '[]')
    FROM jsonb_array_elements(t.reasons) AS reason)"""

_ERASE = f"""
CREATE FUNCTION fraud.erase_customer(erasure uuid, customer text, spellings text[]) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    mark text := gen_random_uuid()::text;
    salted text;
    counts jsonb := '{{}}';
    touched bigint;
    ids text[];
    devices text[];
    cards text[];
    cells text[];
    emptied jsonb;
    emptied_alert jsonb;
BEGIN
    SELECT salt INTO STRICT salted FROM fraud.erasures WHERE erasure_id = erasure;
    ids := fraud.transactions_of(customer);
    SELECT coalesce(array_agg(DISTINCT device_id) FILTER (WHERE device_id IS NOT NULL), '{{}}'),
        coalesce(array_agg(DISTINCT card_token) FILTER (WHERE card_token IS NOT NULL), '{{}}'),
        coalesce(array_agg(DISTINCT cell) FILTER (WHERE cell IS NOT NULL), '{{}}')
    INTO devices, cards, cells
    FROM (
        SELECT device_id, card_token, floor(shipping_latitude * 10000::float8 + 0.5)::bigint || ':' ||
            floor(shipping_longitude * 10000::float8 + 0.5)::bigint AS cell
        FROM fraud.scored_transactions WHERE customer_id = customer
        UNION ALL
        SELECT device_id, card_token, floor(shipping_latitude * 10000::float8 + 0.5)::bigint || ':' ||
            floor(shipping_longitude * 10000::float8 + 0.5)::bigint
        FROM fraud.past_transactions WHERE customer_id = customer
    ) AS of_customer;
    -- What another customer has, too, isn't this one's alone.
    SELECT coalesce(array_agg(d), '{{}}') INTO devices FROM unnest(devices) AS d WHERE NOT EXISTS (
        SELECT FROM fraud.scored_transactions t WHERE t.device_id = d AND t.customer_id <> customer);
    SELECT coalesce(array_agg(c), '{{}}') INTO cards FROM unnest(cards) AS c WHERE NOT EXISTS (
        SELECT FROM fraud.scored_transactions t WHERE t.card_token = c AND t.customer_id <> customer);
    SELECT coalesce(array_agg(c), '{{}}') INTO cells FROM unnest(cells) AS c WHERE NOT EXISTS (
        SELECT FROM fraud.scored_transactions t WHERE t.customer_id <> customer
            AND t.shipping_latitude BETWEEN (split_part(c, ':', 1)::float8 - 0.5) / 10000
                AND (split_part(c, ':', 1)::float8 + 0.5) / 10000
            AND t.shipping_longitude BETWEEN (split_part(c, ':', 2)::float8 - 0.5) / 10000
                AND (split_part(c, ':', 2)::float8 + 0.5) / 10000);

    DELETE FROM fraud.session_events WHERE customer_id = customer;
    GET DIAGNOSTICS touched = ROW_COUNT;
    counts := fraud.erase_mentions(spellings || ids || devices || cards || cells, mark)
        || jsonb_build_object('session_events', touched);

    -- A commit of the stream, and a step of retention, waits from here on.
    SET LOCAL lock_timeout = '30s';
    PERFORM FROM fraud.stream_queries FOR UPDATE;
    ids := fraud.transactions_of(customer);

    INSERT INTO fraud.erased_transactions (id_hash, erasure_id, batch_id)
    SELECT {_hash("transaction_id")}, erasure, batch_id FROM fraud.scored_transactions WHERE customer_id = customer
    ON CONFLICT DO NOTHING;
    INSERT INTO fraud.retired_transactions (id_hash, kafka_partition, kafka_offset)
    SELECT encode(substring(sha256(convert_to(transaction_id, 'UTF8')) FOR 16), 'hex')::uuid,
        kafka_partition, kafka_offset
    FROM fraud.scored_transactions WHERE customer_id = customer
    ON CONFLICT DO NOTHING;

    SELECT jsonb_object_agg(attname, NULL) INTO emptied FROM pg_attribute
    WHERE attrelid = 'fraud.scored_transactions'::regclass AND attnum > 0 AND NOT attisdropped
        AND NOT attname = ANY ({_array(_KEPT)});
    SELECT jsonb_object_agg(attname, NULL) INTO emptied_alert FROM pg_attribute
    WHERE attrelid = 'fraud.fraud_alerts'::regclass AND attnum > 0 AND NOT attisdropped
        AND NOT attname = ANY ({_array(_KEPT_OF_ALERT)});
    INSERT INTO fraud.scored_transactions
    SELECT kept.* FROM fraud.scored_transactions AS t, LATERAL jsonb_populate_record(t, emptied || jsonb_build_object(
        'transaction_id', {_pseudonym("transaction_id")},
        'customer_id', {_pseudonym("customer")},
        'session_id', {_pseudonym("session_id")},
        'shipping_city', CASE WHEN shipping_city IS NOT NULL THEN 'erased' END,
        'shipping_latitude', round(shipping_latitude),
        'shipping_longitude', round(shipping_longitude),
        'reasons', {_REASONS}
    )) AS kept WHERE t.customer_id = customer;
    GET DIAGNOSTICS touched = ROW_COUNT;
    counts := counts || jsonb_build_object('scored_transactions', touched);

    INSERT INTO fraud.fraud_alerts
    SELECT kept.* FROM fraud.fraud_alerts AS t, LATERAL jsonb_populate_record(t, emptied_alert || jsonb_build_object(
        'transaction_id', {_pseudonym("transaction_id")},
        'customer_id', {_pseudonym("customer")},
        'reasons', {_REASONS}
    )) AS kept WHERE t.transaction_id = ANY (ids);
    GET DIAGNOSTICS touched = ROW_COUNT;
    counts := counts || jsonb_build_object('fraud_alerts', touched);

    UPDATE fraud.transaction_labels AS l SET transaction_id = {_pseudonym("l.transaction_id")}
    WHERE l.transaction_id = ANY (ids);
    GET DIAGNOSTICS touched = ROW_COUNT;
    counts := counts || jsonb_build_object('transaction_labels', touched);

    UPDATE fraud.flagged_sessions
    SET customer_id = {_pseudonym("customer")}, session_id = {_pseudonym("session_id")}
    WHERE customer_id = customer;
    GET DIAGNOSTICS touched = ROW_COUNT;
    counts := counts || jsonb_build_object('flagged_sessions', touched);

    counts := counts || jsonb_build_object(
        'alert_claims', (SELECT count(*) FROM fraud.alert_claims WHERE transaction_id = ANY (ids)),
        'analyst_verdicts', (SELECT count(*) FROM fraud.analyst_verdicts WHERE transaction_id = ANY (ids)),
        'alert_notes', coalesce((counts ->> 'alert_notes')::bigint, 0)
            + (SELECT count(*) FROM fraud.alert_notes WHERE transaction_id = ANY (ids)),
        'incident_alerts', (SELECT count(*) FROM fraud.incident_alerts WHERE transaction_id = ANY (ids)));
    DELETE FROM fraud.scored_transactions WHERE customer_id = customer;

    DELETE FROM fraud.past_transactions WHERE customer_id = customer;
    GET DIAGNOSTICS touched = ROW_COUNT;
    counts := counts || jsonb_build_object('past_transactions', touched);
    DELETE FROM fraud.customers WHERE customer_id = customer;
    GET DIAGNOSTICS touched = ROW_COUNT;
    counts := counts || jsonb_build_object('customers', touched);
    DELETE FROM fraud.entity_risk WHERE entity_type = 'device' AND entity_id = ANY (devices)
        OR entity_type = 'card_token' AND entity_id = ANY (cards)
        OR entity_type = 'shipping_address' AND entity_id = ANY (cells);
    GET DIAGNOSTICS touched = ROW_COUNT;
    counts := counts || jsonb_build_object('entity_risk', touched);
    RETURN (SELECT coalesce(jsonb_object_agg(key, value), '{{}}') FROM jsonb_each(counts) WHERE value <> '0');
END $$
"""  # noqa: S608 (constants)
_TRANSACTIONS_OF = """
CREATE FUNCTION fraud.transactions_of(customer text) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(transaction_id), '{}') FROM (
        SELECT transaction_id FROM fraud.scored_transactions WHERE customer_id = customer
        UNION SELECT transaction_id FROM fraud.fraud_alerts WHERE customer_id = customer
        UNION SELECT transaction_id FROM fraud.past_transactions WHERE customer_id = customer
    ) AS of_customer
$$
"""
# An id that may be a number or a word of JSON is only taken for one as a whole text, or in quotes.
_MENTIONS = f"""
CREATE FUNCTION fraud.erase_mentions(names text[], mark text) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    counts jsonb := '{{}}';
    touched bigint;
    chunk text[];
    pattern text;
    place record;
    entry text;
    whole text;
BEGIN
    DELETE FROM fraud.list_entries AS e USING fraud.lists AS l
    WHERE l.name = e.list_name AND l.kind <> 'ip_country' AND e.value = ANY (names);
    GET DIAGNOSTICS touched = ROW_COUNT;
    counts := jsonb_build_object('list_entries', touched);
    FOR begin_at IN 1 .. coalesce(cardinality(names), 0) BY 200 LOOP
        chunk := names[begin_at : begin_at + 199];
        SELECT string_agg(CASE
            WHEN name ~ '^[-+0-9.eE:]+$' OR char_length(name) < 3 OR name IN ('true', 'false', 'null')
                THEN '^' || quoted || '$|(?<=")' || quoted || '(?=")'
            ELSE '(?<![[:alnum:]_-])' || quoted || '(?![[:alnum:]_-])' END, '|')
        INTO pattern
        FROM unnest(chunk) AS name, LATERAL (
            SELECT regexp_replace(name, '([^[:alnum:]_])', '\\\\\\1', 'g') AS quoted) AS q
        WHERE name <> '';
        IF pattern IS NULL THEN CONTINUE; END IF;

        UPDATE fraud.dead_letters SET key = NULL, payload = NULL, detail = 'erased', redacted = true
        WHERE encode(key, 'escape') ~ pattern OR encode(payload, 'escape') ~ pattern OR detail ~ pattern;
        GET DIAGNOSTICS touched = ROW_COUNT;
        counts := counts || jsonb_build_object(
            'dead_letters', coalesce((counts ->> 'dead_letters')::bigint, 0) + touched);

        FOR place IN
            SELECT c.relname, a.attname, a.atttypid::regtype::text AS kind
            FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
            WHERE c.relnamespace = 'fraud'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
                AND NOT a.attisdropped AND a.attgenerated = '' AND NOT c.relname = ANY ({_array(_UNSWEPT)})
                AND a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'text[]'::regtype, 'json'::regtype,
                                   'jsonb'::regtype)
                -- What rows refer to each other by goes with their table's own rows.
                AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.contype = 'f'
                    AND (k.conrelid = a.attrelid AND a.attnum = ANY (k.conkey)
                        OR k.confrelid = a.attrelid AND a.attnum = ANY (k.confkey)))
            ORDER BY 1, 2
        LOOP
            whole := CASE WHEN place.kind IN ('text', 'character varying') THEN '%1$I'
                ELSE '%1$I::text' END;
            entry := 'left(md5($2 || t.ctid::text), 16)';
            EXECUTE format(
                'UPDATE fraud.%2$I AS t SET %1$I = regexp_replace(' || whole || ', $1, ''erased-'' || ' || entry
                || ', ''g'')::%3$s WHERE ' || whole || ' ~ $1', place.attname, place.relname, place.kind
            ) USING pattern, mark;
            GET DIAGNOSTICS touched = ROW_COUNT;
            counts := counts || jsonb_build_object(
                place.relname, coalesce((counts ->> place.relname)::bigint, 0) + touched);
        END LOOP;
    END LOOP;
    RETURN counts;
END $$
"""  # noqa: S608 (constants)
_FUNCTIONS = ("erase_customer(uuid, text, text[])", "erase_mentions(text[], text)", "transactions_of(text)")


def upgrade() -> None:
    """Applies it."""
    _create_tables()
    for statement in (_TRANSACTIONS_OF, _MENTIONS, _ERASE):
        op.execute(sa.text(statement.replace(":", r"\:")))  # else a bound parameter
    for function in _FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION fraud.{function} FROM PUBLIC")


def _create_tables() -> None:
    op.create_table(
        "erasures",
        sa.Column("erasure_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("id_hash", sa.Text(), nullable=False, comment="SHA-256 of salt and customer id, hexadecimal"),
        sa.Column("salt", sa.Text(), nullable=False, comment="random; the same for all erasures of a platform"),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("reason", "requested_by", "approved_by")),
        sa.Column("requested_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("erased_at", _TIME, comment="messages that Kafka got until then are of the erased; null: not yet"),
        sa.Column("finished_at", _TIME, comment="null: a step is still to be done"),
        sa.Column(
            "counts",
            postgresql.JSONB(),
            server_default="{}",
            nullable=False,
            comment="{place: what was erased or made unrecognisable}",
        ),
        sa.Column(
            "control",
            postgresql.JSONB(),
            comment="the message at which the stream forgets the profile: topic, partition, offset",
        ),
        sa.PrimaryKeyConstraint("erasure_id", name=op.f("erasures_pkey")),
        schema="fraud",
        comment="Certificates of customers' erasures, without their ids",
    )
    op.create_index(op.f("erasures_id_hash_idx"), "erasures", ["id_hash"], schema="fraud")
    op.create_table(
        "erased_transactions",
        sa.Column("id_hash", sa.Text(), nullable=False, comment="SHA-256 of the erasure's salt and the transaction id"),
        sa.Column("erasure_id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False, comment="the micro-batch that scored it"),
        sa.PrimaryKeyConstraint("id_hash", name=op.f("erased_transactions_pkey")),
        sa.ForeignKeyConstraint(
            ["erasure_id"],
            ["fraud.erasures.erasure_id"],
            name=op.f("erased_transactions_erasure_id_fkey"),
            ondelete="CASCADE",
        ),
        schema="fraud",
        comment=(
            "Erased transactions, so that the archive takes none of them, and is compared with the ledger without them"
        ),
    )
    for column in ("batch_id", "erasure_id"):
        op.create_index(op.f(f"erased_transactions_{column}_idx"), "erased_transactions", [column], schema="fraud")


def downgrade() -> None:
    """Takes it back. Which customers were erased is forgotten, too: a restore may bring them back then."""
    for function in _FUNCTIONS:
        op.execute(f"DROP FUNCTION fraud.{function}")
    op.drop_table("erased_transactions", schema="fraud")
    op.drop_table("erasures", schema="fraud")
