"""What the stream writes: transactions, alerts, sales, rollups, dead letters and labels."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from fraudstream.storage.expressions import ADDRESS_CELL, FLAGGED
from fraudstream.storage.tables.policy import decision_columns
from fraudstream.storage.tables.schema import Money, Timestamp, created_at, exchange_rate, metadata, shop, window_width

#: Score times amount in the shop currency, of an alert, by which the desk orders its queue; 0 without an exchange rate.
EXPECTED_LOSS = "COALESCE(fraud_score * (amount * exchange_rate)::double precision, 0::double precision)"
_DECISION = "decision IN ('allow', 'review', 'block')"

scored_transactions = Table(
    "scored_transactions",
    metadata,
    Column("transaction_id", Text, primary_key=True),
    Column("session_id", Text),
    Column("customer_id", Text, nullable=False),
    Column("event_time", Timestamp, nullable=False),
    Column("amount", Money, nullable=False),
    Column("currency", Text, nullable=False),
    Column("items", JSONB, comment="[{product_id, quantity, unit_price}]"),
    Column("payment_method", Text),
    Column("card_token", Text),
    Column("promo_code", Text),
    Column("promo_amount", Money),
    Column("shipping_fee", Money),
    Column("shipping_city", Text),
    Column("shipping_country", Text),
    Column("shipping_latitude", Double),
    Column("shipping_longitude", Double),
    Column("ip_country", Text),
    Column("device_id", Text),
    Column("fraud_score", Double, nullable=False, comment="probability of fraud, 0 to 1"),
    Column(
        "is_fraud",
        Boolean,
        nullable=False,
        comment="the model's flag: fraud_score >= threshold; what was done is the decision",
    ),
    Column("threshold", Double, nullable=False),
    Column("reasons", JSONB, nullable=False, comment="[{feature, value, contribution, text}] of flagged ones, else []"),
    Column("model_version", Text, nullable=False),
    Column("scored_at", Timestamp, nullable=False),
    Column("late", Boolean, nullable=False, comment="arrived later than the allowed lateness"),
    Column("ingest_time", Timestamp, nullable=False, comment="when Kafka appended it"),
    Column("kafka_partition", Integer, nullable=False),
    Column("kafka_offset", BigInteger, nullable=False),
    Column("batch_id", BigInteger, nullable=False),
    Column("counted_in_sales", Boolean, nullable=False, comment="whether product_sales includes it now"),
    Column("committed_at", Timestamp, nullable=False, server_default=text("clock_timestamp()")),
    Column("challenger_version", Text, comment="the model that scored in the champion's shadow, if there was one"),
    Column("challenger_score", Double, comment="its probability of fraud, 0 to 1; decides nothing"),
    Column("content_hash", BigInteger, comment="of the transaction as received: tells a repeat from a conflict"),
    exchange_rate(),
    shop(),
    *decision_columns(),
    Column("topic", Text, nullable=False, server_default="transactions", comment="that it came from"),
    Column("terminal_id", Text, comment="where it was paid"),
    CheckConstraint("fraud_score BETWEEN 0 AND 1", name="fraud_score"),
    CheckConstraint(_DECISION, name="decision"),
    Index(None, "batch_id"),
    Index(None, "customer_id", "session_id"),
    *(
        Index(f"scored_transactions_{name}_idx", first, "event_time", postgresql_where=where)
        for name, first, where in (
            ("device", "device_id", text("device_id IS NOT NULL")),
            ("card", "card_token", text("card_token IS NOT NULL")),
            ("address", text(ADDRESS_CELL), None),
        )
    ),
    Index(None, "event_time"),
    Index("scored_transactions_terminal_idx", "event_time", postgresql_where=text("terminal_id IS NOT NULL")),
    Index(
        "scored_transactions_flagged_idx",
        "event_time",
        postgresql_where=text(FLAGGED),
        postgresql_include=[
            *("shop", "shipping_country", "shipping_city", "shipping_latitude", "shipping_longitude", "payment_method"),
            *("decision", "is_fraud", "amount", "exchange_rate"),
        ],
    ),
    Index("scored_transactions_ingest_time_idx", "ingest_time", postgresql_using="brin"),
    comment="One row a transaction; what its message lacked is null",
)

fraud_alerts = Table(
    "fraud_alerts",
    metadata,
    Column("transaction_id", Text, primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("event_time", Timestamp, nullable=False),
    Column("amount", Money, nullable=False),
    Column("currency", Text, nullable=False),
    Column("shipping_city", Text),
    Column("shipping_country", Text),
    Column("fraud_score", Double, nullable=False),
    Column("reasons", JSONB, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="open"),
    created_at("created_at"),
    Column("decided_at", Timestamp),
    exchange_rate(),
    shop(),
    Column("grouped_at", Timestamp, comment="when fraud_alert_response looked for its incident"),
    Column("session_read_at", Timestamp, comment="when its session's browse events were looked for in Kafka"),
    *decision_columns(),
    Column("payment_method", Text),
    ForeignKeyConstraint(["transaction_id"], [scored_transactions.c.transaction_id], ondelete="CASCADE"),
    CheckConstraint(_DECISION, name="decision"),
    CheckConstraint("status IN ('open', 'confirmed', 'dismissed')", name="status"),
    Index(None, "event_time"),
    Index("fraud_alerts_ungrouped_idx", "created_at", postgresql_where=text("grouped_at IS NULL")),
    Index("fraud_alerts_unread_idx", "created_at", postgresql_where=text("session_read_at IS NULL")),
    Index(None, "customer_id"),
    Index("fraud_alerts_loss_idx", text(EXPECTED_LOSS), "transaction_id", postgresql_where=text("status = 'open'")),
    Index("fraud_alerts_age_idx", "event_time", "transaction_id", postgresql_where=text("status = 'open'")),
    comment="One row a transaction that was decided to be reviewed or blocked",
)

flagged_sessions = Table(
    "flagged_sessions",
    metadata,
    Column("customer_id", Text, primary_key=True),
    Column("session_id", Text, primary_key=True, comment="unique for a customer, not across customers"),
    created_at("flagged_at"),
    Column(
        "fraud_retired",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="retention deleted a fraud of it: no label clears it",
    ),
    Index(None, "flagged_at"),
    comment="Sessions with a fraud by the newest verdict; their sales don't count",
)


def _segment() -> tuple[Column[str], ...]:
    """What tells segments apart."""
    return (
        Column("shipping_country", Text, primary_key=True, comment="empty: the message named none"),
        Column("payment_method", Text, primary_key=True, comment="empty: the message named none"),
        Column(
            "decision", Text, primary_key=True, comment="of rows from before there were decisions: by the model's flag"
        ),
    )


product_sales = Table(
    "product_sales",
    metadata,
    Column("window_start", Timestamp, primary_key=True, comment="start of a window of event time"),
    Column("product_id", Text, primary_key=True),
    Column("units", BigInteger, nullable=False),
    Column("revenue", Money, nullable=False),
    Column("batch_id", BigInteger, nullable=False, comment="the micro-batch that changed it last"),
    window_width(30),
    shop(primary_key=True),
    Index(None, "batch_id"),
    Index("product_sales_fine_idx", "window_start", postgresql_where=text("seconds < 60")),
    Index("product_sales_minutes_idx", "window_start", postgresql_where=text("seconds = 60")),
    comment="Sales of sessions that aren't flagged; taken back, and put back, when the verdict changes",
)

segment_sales = Table(
    "segment_sales",
    metadata,
    Column("window_start", Timestamp, primary_key=True, comment="start of a window of event time"),
    Column("product_id", Text, primary_key=True),
    shop(primary_key=True),
    *_segment(),
    Column("units", BigInteger, nullable=False),
    Column("revenue", Money, nullable=False),
    window_width(3600, "days"),
    # Of hours there is one index, since the stream writes them; of days one for each thing that is filtered by. What
    # was sold though it wasn't allowed at once was cleared, and is little.
    Index(
        *("segment_sales_hours_idx", "window_start", "shipping_country", "payment_method"),
        postgresql_where=text("seconds = 3600"),
    ),
    Index(
        *("segment_sales_countries_idx", "shipping_country", "window_start"), postgresql_where=text("seconds = 86400")
    ),
    Index("segment_sales_methods_idx", "payment_method", "window_start", postgresql_where=text("seconds = 86400")),
    Index("segment_sales_cleared_idx", "decision", "window_start", postgresql_where=text("decision <> 'allow'")),
    comment="What product_sales has, per hour and segment of the transactions",
)

#: What a rollup of counts adds up.
COUNT_SUMS = ("transactions", "flagged", "amount", "flagged_amount", "unpriced", "flagged_unpriced")

fraud_counts = Table(
    "fraud_counts",
    metadata,
    Column("window_start", Timestamp, primary_key=True, comment="start of a window of event time"),
    Column("transactions", BigInteger, nullable=False),
    Column("flagged", BigInteger, nullable=False),
    Column("amount", Money, nullable=False),
    Column("flagged_amount", Money, nullable=False),
    Column(
        "unpriced",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="among the transactions: without an exchange rate, and not in the amounts",
    ),
    Column("flagged_unpriced", BigInteger, nullable=False, server_default="0", comment="the same among the flagged"),
    window_width(10),
    shop(primary_key=True),
    comment="Transactions and flagged ones per window",
)

segment_counts = Table(
    "segment_counts",
    metadata,
    Column("window_start", Timestamp, primary_key=True, comment="start of a window of event time"),
    shop(primary_key=True),
    *_segment(),
    Column("transactions", BigInteger, nullable=False),
    Column("flagged", BigInteger, nullable=False),
    Column("amount", Money, nullable=False),
    Column("flagged_amount", Money, nullable=False),
    Column("unpriced", BigInteger, nullable=False, server_default="0", comment="as in fraud_counts"),
    Column("flagged_unpriced", BigInteger, nullable=False, server_default="0"),
    window_width(900),
    Index("segment_counts_quarters_idx", "window_start", postgresql_where=text("seconds = 900")),
    comment="What fraud_counts has, per quarter of an hour and segment of the transactions",
)

fraud_locations = Table(
    "fraud_locations",
    metadata,
    Column("window_start", Timestamp, primary_key=True, comment="start of a window of event time"),
    Column("shipping_country", Text, primary_key=True),
    Column("shipping_city", Text, primary_key=True),
    Column("latitude", Double, nullable=False),
    Column("longitude", Double, nullable=False),
    Column("flagged", BigInteger, nullable=False),
    Column("flagged_amount", Money, nullable=False),
    window_width(60),
    shop(primary_key=True),
    comment="Flagged transactions per place and window",
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("kafka_partition", Integer, primary_key=True),
    Column("kafka_offset", BigInteger, primary_key=True),
    Column("reason", Text, nullable=False, comment="a stable code: why it was refused"),
    Column("detail", Text, nullable=False),
    Column("key", LargeBinary, comment="as received, redacted"),
    Column("payload", LargeBinary, comment="as received, redacted"),
    Column(
        "redacted",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="key or payload isn't whole: card numbers masked, or its end cut off; can't be replayed",
    ),
    Column("ingest_time", Timestamp, nullable=False),
    Column("batch_id", BigInteger, nullable=False),
    created_at("created_at"),
    Column("replay_claimed_at", Timestamp, comment="when a replay was about to send it"),
    Column("replay_from", BigInteger, comment="where Kafka's partition ended then"),
    Column("replayed_at", Timestamp, comment="when Kafka acknowledged the replayed message"),
    Column("replayed_offset", BigInteger, comment="of the replayed message, in the same partition"),
    Index(None, "reason"),
    Index(None, "batch_id"),
    Index(
        "dead_letters_claimed_idx",
        "topic",
        "kafka_partition",
        postgresql_where=text("replay_claimed_at IS NOT NULL AND replayed_at IS NULL"),
    ),
    Index(
        "dead_letters_replayed_idx",
        "topic",
        "kafka_partition",
        "replayed_offset",
        postgresql_where=text("replayed_offset IS NOT NULL"),
    ),
    comment="Messages that were refused, each with its reason",
)

transaction_labels = Table(
    "transaction_labels",
    metadata,
    Column("label_id", BigInteger, Identity(), primary_key=True),
    Column("transaction_id", Text, nullable=False),
    Column("is_fraud", Boolean, nullable=False),
    Column("source", Text, nullable=False),
    Column("labelled_at", Timestamp, nullable=False),
    Column("ingest_time", Timestamp, nullable=False),
    Column("kafka_partition", Integer, nullable=False),
    Column("kafka_offset", BigInteger, nullable=False),
    Column("batch_id", BigInteger, nullable=False),
    Column("topic", Text, nullable=False, server_default="transaction-labels", comment="with @id when made anew since"),
    UniqueConstraint("topic", "kafka_partition", "kafka_offset"),
    Index(None, "transaction_id"),
    Index(None, "batch_id"),
    comment="Delayed truth, as received",
)
