"""Create schema fraud."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies it."""
    op.create_table(
        "customers",
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("home_city", sa.Text(), nullable=False),
        sa.Column("home_country", sa.Text(), nullable=False),
        sa.Column("home_latitude", sa.Double(), nullable=False),
        sa.Column("home_longitude", sa.Double(), nullable=False),
        sa.Column("age_years", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("customers_pkey")),
        schema="fraud",
        comment="Registered customers",
    )
    op.create_table(
        "dead_letters",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("kafka_partition", sa.Integer(), nullable=False),
        sa.Column("kafka_offset", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="a code of fraudstream.contracts.DeadLetterReason"),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=True, comment="as received, redacted"),
        sa.Column("payload", sa.LargeBinary(), nullable=True, comment="as received, redacted"),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("replayed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("topic", "kafka_partition", "kafka_offset", name=op.f("dead_letters_pkey")),
        schema="fraud",
        comment="Messages that were refused, each with its reason",
    )
    op.create_index(op.f("dead_letters_batch_id_idx"), "dead_letters", ["batch_id"], unique=False, schema="fraud")
    op.create_index(op.f("dead_letters_reason_idx"), "dead_letters", ["reason"], unique=False, schema="fraud")
    op.create_table(
        "entity_risk",
        sa.Column("entity_type", sa.Text(), nullable=False, comment="device, shipping_address, card_token or category"),
        sa.Column("entity_id", sa.Text(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("transactions", sa.Integer(), nullable=False),
        sa.Column("frauds", sa.Integer(), nullable=False),
        sa.Column("risk", sa.Double(), nullable=False, comment="smoothed share of fraud, 0 to 1, from delayed labels"),
        sa.PrimaryKeyConstraint("entity_type", "entity_id", name=op.f("entity_risk_pkey")),
        schema="fraud",
        comment="How often an entity was in confirmed fraud",
    )
    op.create_table(
        "flagged_sessions",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("flagged_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=op.f("flagged_sessions_pkey")),
        schema="fraud",
        comment="Sessions with a flagged or confirmed fraud; their sales don't count",
    )
    op.create_table(
        "fraud_counts",
        sa.Column(
            "window_start", sa.DateTime(timezone=True), nullable=False, comment="start of a 10-s window of event time"
        ),
        sa.Column("transactions", sa.BigInteger(), nullable=False),
        sa.Column("flagged", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=14, scale=2), nullable=False),
        sa.Column("flagged_amount", sa.Numeric(precision=14, scale=2), nullable=False),
        sa.PrimaryKeyConstraint("window_start", name=op.f("fraud_counts_pkey")),
        schema="fraud",
        comment="Transactions and flagged ones per window",
    )
    op.create_table(
        "fraud_locations",
        sa.Column(
            "window_start", sa.DateTime(timezone=True), nullable=False, comment="start of a 60-s window of event time"
        ),
        sa.Column("shipping_country", sa.Text(), nullable=False),
        sa.Column("shipping_city", sa.Text(), nullable=False),
        sa.Column("latitude", sa.Double(), nullable=False),
        sa.Column("longitude", sa.Double(), nullable=False),
        sa.Column("flagged", sa.BigInteger(), nullable=False),
        sa.Column("flagged_amount", sa.Numeric(precision=14, scale=2), nullable=False),
        sa.PrimaryKeyConstraint("window_start", "shipping_country", "shipping_city", name=op.f("fraud_locations_pkey")),
        schema="fraud",
        comment="Flagged transactions per place and window",
    )
    op.create_table(
        "model_versions",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("artifact", sa.Text(), nullable=False, comment="folder of the artifact"),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("features", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("trained_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('champion', 'challenger', 'archived')", name=op.f("model_versions_status_check")
        ),
        sa.PrimaryKeyConstraint("version", name=op.f("model_versions_pkey")),
        schema="fraud",
        comment="Models; one champion at a time",
    )
    op.create_index(
        "model_versions_one_champion_idx",
        "model_versions",
        ["status"],
        unique=True,
        schema="fraud",
        postgresql_where=sa.text("status = 'champion'"),
    )
    op.create_table(
        "product_sales",
        sa.Column(
            "window_start", sa.DateTime(timezone=True), nullable=False, comment="start of a 30-s window of event time"
        ),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("revenue", sa.Numeric(precision=14, scale=2), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False, comment="the micro-batch that changed it last"),
        sa.PrimaryKeyConstraint("window_start", "product_id", name=op.f("product_sales_pkey")),
        schema="fraud",
        comment="Sales of sessions that aren't flagged; retracted when fraud is confirmed later",
    )
    op.create_index(op.f("product_sales_batch_id_idx"), "product_sales", ["batch_id"], unique=False, schema="fraud")
    op.create_table(
        "products",
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("list_price", sa.Numeric(precision=14, scale=2), nullable=False),
        sa.PrimaryKeyConstraint("product_id", name=op.f("products_pkey")),
        schema="fraud",
        comment="The catalogue",
    )
    op.create_table(
        "scored_transactions",
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount", sa.Numeric(precision=14, scale=2), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column(
            "items",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="[{product_id, quantity, unit_price}]",
        ),
        sa.Column("payment_method", sa.Text(), nullable=False),
        sa.Column("card_token", sa.Text(), nullable=True),
        sa.Column("promo_code", sa.Text(), nullable=True),
        sa.Column("promo_amount", sa.Numeric(precision=14, scale=2), nullable=False),
        sa.Column("shipping_fee", sa.Numeric(precision=14, scale=2), nullable=False),
        sa.Column("shipping_city", sa.Text(), nullable=False),
        sa.Column("shipping_country", sa.Text(), nullable=False),
        sa.Column("shipping_latitude", sa.Double(), nullable=False),
        sa.Column("shipping_longitude", sa.Double(), nullable=False),
        sa.Column("ip_country", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("fraud_score", sa.Double(), nullable=False, comment="probability of fraud, 0 to 1"),
        sa.Column("is_fraud", sa.Boolean(), nullable=False, comment="the decision: fraud_score >= threshold"),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column(
            "reasons",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="[{feature, value, contribution, text}] of flagged ones, else []",
        ),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False, comment="arrived later than the allowed lateness"),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False, comment="when Kafka appended it"),
        sa.Column("kafka_partition", sa.Integer(), nullable=False),
        sa.Column("kafka_offset", sa.BigInteger(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("counted_in_sales", sa.Boolean(), nullable=False, comment="whether product_sales includes it now"),
        sa.Column(
            "committed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("fraud_score BETWEEN 0 AND 1", name=op.f("scored_transactions_fraud_score_check")),
        sa.PrimaryKeyConstraint("transaction_id", name=op.f("scored_transactions_pkey")),
        schema="fraud",
        comment="One row a transaction",
    )
    op.create_index(
        op.f("scored_transactions_batch_id_idx"), "scored_transactions", ["batch_id"], unique=False, schema="fraud"
    )
    op.create_index(
        op.f("scored_transactions_event_time_idx"), "scored_transactions", ["event_time"], unique=False, schema="fraud"
    )
    op.create_index(
        "scored_transactions_ingest_time_idx",
        "scored_transactions",
        ["ingest_time"],
        unique=False,
        schema="fraud",
        postgresql_using="brin",
    )
    op.create_index(
        op.f("scored_transactions_session_id_idx"), "scored_transactions", ["session_id"], unique=False, schema="fraud"
    )
    op.create_table(
        "static_versions",
        sa.Column("version", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("customers", sa.Integer(), nullable=False),
        sa.Column("products", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("static_versions_pkey")),
        schema="fraud",
        comment="A row a refresh of the static data; the stream re-reads it when the newest version changes",
    )
    op.create_table(
        "stream_batches",
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column(
            "offsets",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="{topic: {partition: [from, until]}}",
        ),
        sa.Column("scored", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.BigInteger(), nullable=False, comment="among the scored"),
        sa.Column("flagged", sa.BigInteger(), nullable=False, comment="among the scored"),
        sa.Column("browse_events", sa.BigInteger(), nullable=False),
        sa.Column("labels", sa.BigInteger(), nullable=False),
        sa.Column("dead_lettered", sa.BigInteger(), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("static_version", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "committed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("duration_ms", sa.Double(), nullable=False, comment="from the micro-batch's start to this row"),
        sa.Column(
            "latencies_ms", sa.ARRAY(sa.Double()), nullable=False, comment="p50, p95, p99, max: Kafka arrival to commit"
        ),
        sa.Column(
            "published_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when Kafka acknowledged what this batch committed",
        ),
        sa.PrimaryKeyConstraint("query", "batch_id", name=op.f("stream_batches_pkey")),
        schema="fraud",
        comment="The ledger: a row a committed micro-batch",
    )
    op.create_index(
        op.f("stream_batches_committed_at_idx"), "stream_batches", ["committed_at"], unique=False, schema="fraud"
    )
    op.create_index(
        "stream_batches_unpublished_idx",
        "stream_batches",
        ["query", "batch_id"],
        unique=False,
        schema="fraud",
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.create_table(
        "stream_offsets",
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("kafka_partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False, comment="the first offset not yet accounted for"),
        sa.Column("first_offset", sa.BigInteger(), nullable=False, comment="where the query began"),
        sa.Column("scored", sa.BigInteger(), nullable=False),
        sa.Column("browse_events", sa.BigInteger(), nullable=False),
        sa.Column("labels", sa.BigInteger(), nullable=False),
        sa.Column("dead_lettered", sa.BigInteger(), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "next_offset - first_offset = scored + browse_events + labels + dead_lettered + duplicates",
            name=op.f("stream_offsets_accounting_check"),
        ),
        sa.PrimaryKeyConstraint("query", "topic", "kafka_partition", name=op.f("stream_offsets_pkey")),
        schema="fraud",
        comment="The accounting identity per partition, exact after every batch",
    )
    op.create_table(
        "stream_queries",
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column(
            "epoch",
            sa.BigInteger(),
            nullable=False,
            comment="bumped by each start; an older driver's commit is refused",
        ),
        sa.Column("driver", sa.Text(), nullable=False, comment="host:pid of the driver that holds the epoch"),
        sa.Column("state_buckets", sa.Integer(), nullable=False, comment="fixed with the checkpoint"),
        sa.Column("state_partitions", sa.Integer(), nullable=False, comment="fixed with the checkpoint"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("query", name=op.f("stream_queries_pkey")),
        schema="fraud",
        comment="The fence: which driver may write",
    )
    op.create_table(
        "transaction_labels",
        sa.Column("label_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("is_fraud", sa.Boolean(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("labelled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingest_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kafka_partition", sa.Integer(), nullable=False),
        sa.Column("kafka_offset", sa.BigInteger(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("label_id", name=op.f("transaction_labels_pkey")),
        sa.UniqueConstraint(
            "kafka_partition", "kafka_offset", name=op.f("transaction_labels_kafka_partition_kafka_offset_key")
        ),
        schema="fraud",
        comment="Delayed truth, as received",
    )
    op.create_index(
        op.f("transaction_labels_transaction_id_idx"),
        "transaction_labels",
        ["transaction_id"],
        unique=False,
        schema="fraud",
    )
    op.create_table(
        "fraud_alerts",
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount", sa.Numeric(precision=14, scale=2), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("shipping_city", sa.Text(), nullable=False),
        sa.Column("shipping_country", sa.Text(), nullable=False),
        sa.Column("fraud_score", sa.Double(), nullable=False),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('open', 'confirmed', 'dismissed')", name=op.f("fraud_alerts_status_check")),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["fraud.scored_transactions.transaction_id"],
            name=op.f("fraud_alerts_transaction_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("transaction_id", name=op.f("fraud_alerts_pkey")),
        schema="fraud",
        comment="One row a flagged transaction",
    )
    op.create_index(op.f("fraud_alerts_event_time_idx"), "fraud_alerts", ["event_time"], unique=False, schema="fraud")


def downgrade() -> None:
    """Undoes it."""
    op.drop_index(op.f("fraud_alerts_event_time_idx"), table_name="fraud_alerts", schema="fraud")
    op.drop_table("fraud_alerts", schema="fraud")
    op.drop_index(op.f("transaction_labels_transaction_id_idx"), table_name="transaction_labels", schema="fraud")
    op.drop_table("transaction_labels", schema="fraud")
    op.drop_table("stream_queries", schema="fraud")
    op.drop_table("stream_offsets", schema="fraud")
    op.drop_index(
        "stream_batches_unpublished_idx",
        table_name="stream_batches",
        schema="fraud",
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.drop_index(op.f("stream_batches_committed_at_idx"), table_name="stream_batches", schema="fraud")
    op.drop_table("stream_batches", schema="fraud")
    op.drop_table("static_versions", schema="fraud")
    op.drop_index(op.f("scored_transactions_session_id_idx"), table_name="scored_transactions", schema="fraud")
    op.drop_index(
        "scored_transactions_ingest_time_idx", table_name="scored_transactions", schema="fraud", postgresql_using="brin"
    )
    op.drop_index(op.f("scored_transactions_event_time_idx"), table_name="scored_transactions", schema="fraud")
    op.drop_index(op.f("scored_transactions_batch_id_idx"), table_name="scored_transactions", schema="fraud")
    op.drop_table("scored_transactions", schema="fraud")
    op.drop_table("products", schema="fraud")
    op.drop_index(op.f("product_sales_batch_id_idx"), table_name="product_sales", schema="fraud")
    op.drop_table("product_sales", schema="fraud")
    op.drop_index(
        "model_versions_one_champion_idx",
        table_name="model_versions",
        schema="fraud",
        postgresql_where=sa.text("status = 'champion'"),
    )
    op.drop_table("model_versions", schema="fraud")
    op.drop_table("fraud_locations", schema="fraud")
    op.drop_table("fraud_counts", schema="fraud")
    op.drop_table("flagged_sessions", schema="fraud")
    op.drop_table("entity_risk", schema="fraud")
    op.drop_index(op.f("dead_letters_reason_idx"), table_name="dead_letters", schema="fraud")
    op.drop_index(op.f("dead_letters_batch_id_idx"), table_name="dead_letters", schema="fraud")
    op.drop_table("dead_letters", schema="fraud")
    op.drop_table("customers", schema="fraud")
