"""The tables of schema `fraud`, as SQLAlchemy metadata. Alembic's migrations are tested equal to it.

Money is `numeric`: amounts in whole minor units of the transaction's currency, sums and list prices in the shop
currency; times are `timestamptz`; latitude
and longitude are degrees.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "fraud"
metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    },
)

Timestamp = DateTime(timezone=True)
#: Without a limit: currencies differ in their minor units, and sums must not stop the stream.
Money = Numeric()


def _width(seconds: int) -> Column[object]:
    comment = "width of the window; older ones are thinned to minutes, then to hours"
    return Column("seconds", Integer, nullable=False, server_default=str(seconds), comment=comment)


def _created_at(name: str) -> Column[object]:
    return Column(name, Timestamp, nullable=False, server_default=func.now())


def _exchange_rate() -> Column[object]:
    # What was stored before there were rates was taken for the shop currency.
    told = "of event_time: units of the shop currency for one of currency; null: none known"
    return Column("exchange_rate", Money, server_default="1", comment=told)


# --- static data, joined by the stream ---------------------------------------------------------------------------

static_versions = Table(
    "static_versions",
    metadata,
    Column("version", BigInteger, Identity(), primary_key=True),
    _created_at("published_at"),
    Column("customers", Integer, nullable=False),
    Column("products", Integer, nullable=False),
    Column("currency_rates", Integer, nullable=False, server_default="0"),
    comment="A row a refresh of the static data; the stream re-reads it when the newest version changes",
)

customers = Table(
    "customers",
    metadata,
    Column("customer_id", Text, primary_key=True),
    Column("registered_at", Timestamp, nullable=False),
    Column("home_city", Text, nullable=False),
    Column("home_country", Text, nullable=False),
    Column("home_latitude", Double, nullable=False),
    Column("home_longitude", Double, nullable=False),
    Column("age_years", Integer, nullable=False),
    comment="Registered customers",
)

products = Table(
    "products",
    metadata,
    Column("product_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("list_price", Money, nullable=False),
    comment="The catalogue",
)

currency_rates = Table(
    "currency_rates",
    metadata,
    Column("currency", Text, primary_key=True, comment="ISO 4217"),
    Column("valid_from", Date, primary_key=True, comment="from midnight, UTC, until the next one"),
    Column("rate", Money, nullable=False, comment="units of the shop currency for one of currency"),
    CheckConstraint("rate > 0", name="rate"),
    comment="Exchange rates into the shop currency",
)

entity_risk = Table(
    "entity_risk",
    metadata,
    Column("entity_type", Text, primary_key=True, comment="device, shipping_address, card_token or category"),
    Column("entity_id", Text, primary_key=True),
    Column("as_of", Timestamp, nullable=False),
    Column("transactions", Integer, nullable=False),
    Column("frauds", Integer, nullable=False),
    Column("customers", Integer, nullable=False, comment="distinct ones"),
    Column("risk", Double, nullable=False, comment="smoothed share of fraud, 0 to 1, from delayed labels"),
    comment="Entities with a labelled fraud or with several customers, over 30 days as of the last refresh",
)

entity_risk_versions = Table(
    "entity_risk_versions",
    metadata,
    Column("version", BigInteger, Identity(), primary_key=True),
    Column("as_of", Timestamp, nullable=False, comment="counted are events and labels before it"),
    _created_at("published_at"),
    Column("transactions", BigInteger, nullable=False, comment="the shop's, over 30 days"),
    Column("frauds", BigInteger, nullable=False, comment="of these, labelled as fraud"),
    Column("entities", Integer, nullable=False, comment="rows of entity_risk"),
    comment="A row a refresh of entity_risk; the stream re-reads it when the newest version changes",
)

# --- what the stream writes ---------------------------------------------------------------------------------------

scored_transactions = Table(
    "scored_transactions",
    metadata,
    Column("transaction_id", Text, primary_key=True),
    Column("session_id", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("event_time", Timestamp, nullable=False),
    Column("amount", Money, nullable=False),
    Column("currency", Text, nullable=False),
    Column("items", JSONB, nullable=False, comment="[{product_id, quantity, unit_price}]"),
    Column("payment_method", Text, nullable=False),
    Column("card_token", Text),
    Column("promo_code", Text),
    Column("promo_amount", Money, nullable=False),
    Column("shipping_fee", Money, nullable=False),
    Column("shipping_city", Text, nullable=False),
    Column("shipping_country", Text, nullable=False),
    Column("shipping_latitude", Double, nullable=False),
    Column("shipping_longitude", Double, nullable=False),
    Column("ip_country", Text, nullable=False),
    Column("device_id", Text, nullable=False),
    Column("fraud_score", Double, nullable=False, comment="probability of fraud, 0 to 1"),
    Column("is_fraud", Boolean, nullable=False, comment="the decision: fraud_score >= threshold"),
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
    _exchange_rate(),
    CheckConstraint("fraud_score BETWEEN 0 AND 1", name="fraud_score"),
    Index(None, "batch_id"),
    Index(None, "customer_id", "session_id"),
    Index(None, "event_time"),
    Index("scored_transactions_ingest_time_idx", "ingest_time", postgresql_using="brin"),
    comment="One row a transaction",
)

fraud_alerts = Table(
    "fraud_alerts",
    metadata,
    Column("transaction_id", Text, primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("event_time", Timestamp, nullable=False),
    Column("amount", Money, nullable=False),
    Column("currency", Text, nullable=False),
    Column("shipping_city", Text, nullable=False),
    Column("shipping_country", Text, nullable=False),
    Column("fraud_score", Double, nullable=False),
    Column("reasons", JSONB, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="open"),
    _created_at("created_at"),
    Column("decided_at", Timestamp),
    _exchange_rate(),
    ForeignKeyConstraint(["transaction_id"], [scored_transactions.c.transaction_id], ondelete="CASCADE"),
    CheckConstraint("status IN ('open', 'confirmed', 'dismissed')", name="status"),
    Index(None, "event_time"),
    comment="One row a flagged transaction",
)

flagged_sessions = Table(
    "flagged_sessions",
    metadata,
    Column("customer_id", Text, primary_key=True),
    Column("session_id", Text, primary_key=True, comment="unique for a customer, not across customers"),
    _created_at("flagged_at"),
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

product_sales = Table(
    "product_sales",
    metadata,
    Column("window_start", Timestamp, primary_key=True, comment="start of a window of event time"),
    Column("product_id", Text, primary_key=True),
    Column("units", BigInteger, nullable=False),
    Column("revenue", Money, nullable=False),
    Column("batch_id", BigInteger, nullable=False, comment="the micro-batch that changed it last"),
    _width(30),
    Index(None, "batch_id"),
    Index("product_sales_fine_idx", "window_start", postgresql_where=text("seconds < 60")),
    Index("product_sales_minutes_idx", "window_start", postgresql_where=text("seconds = 60")),
    comment="Sales of sessions that aren't flagged; taken back, and put back, when the verdict changes",
)

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
    _width(10),
    comment="Transactions and flagged ones per window",
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
    _width(60),
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
    _created_at("created_at"),
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

# --- the ledger ---------------------------------------------------------------------------------------------------

stream_queries = Table(
    "stream_queries",
    metadata,
    Column("query", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False, comment="bumped by each start; an older driver's commit is refused"),
    Column("driver", Text, nullable=False, comment="host:pid of the driver that holds the epoch"),
    Column("state_buckets", Integer, comment="fixed with the checkpoint"),
    Column("state_partitions", Integer, comment="fixed with the checkpoint"),
    Column("started_at", Timestamp, nullable=False),
    Column("heartbeat_at", Timestamp, nullable=False),
    Column("state_layout", Integer, comment="of the profiles in the checkpoint"),
    Column(
        "generation",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="which checkpoint: 0, or when a rebuild began another one, in seconds since 1970",
    ),
    Column("first_batch", BigInteger, nullable=False, server_default="0", comment="ledger's id of its batch 0"),
    Column(
        "resume_offsets",
        JSONB,
        nullable=False,
        server_default="{}",
        comment="{topic: {partition: offset}}: before these, messages only rebuild profiles",
    ),
    Column("crashed_batch", BigInteger, comment="the batch that a driver left without an error of its own"),
    Column("crashes", Integer, nullable=False, server_default="0", comment="how many drivers in a row left it so"),
    Column("shop_currency", Text, comment="fixed with the tables: of all their sums"),
    comment="The fence: which driver may write, and which checkpoint counts",
)

stream_batches = Table(
    "stream_batches",
    metadata,
    Column("query", Text, primary_key=True),
    Column("batch_id", BigInteger, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("offsets", JSONB, nullable=False, comment="{topic: {partition: [from, until]}}"),
    Column("scored", BigInteger, nullable=False),
    Column("late", BigInteger, nullable=False, comment="among the scored"),
    Column("flagged", BigInteger, nullable=False, comment="among the scored"),
    Column("browse_events", BigInteger, nullable=False),
    Column("labels", BigInteger, nullable=False),
    Column("dead_lettered", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("static_version", BigInteger, nullable=False),
    Column("started_at", Timestamp, nullable=False),
    Column("committed_at", Timestamp, nullable=False, server_default=text("clock_timestamp()")),
    Column("duration_ms", Double, nullable=False, comment="from the micro-batch's start to this row"),
    Column("latencies_ms", ARRAY(Double), nullable=False, comment="p50, p95, p99, max: Kafka arrival to commit"),
    Column("published_at", Timestamp, comment="when Kafka acknowledged what this batch committed"),
    Index("stream_batches_unpublished_idx", "query", "batch_id", postgresql_where=text("published_at IS NULL")),
    Index(None, "committed_at"),
    comment="The ledger: a row a committed micro-batch",
)

stream_offsets = Table(
    "stream_offsets",
    metadata,
    Column("query", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("kafka_partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False, comment="the first offset not yet accounted for"),
    Column("first_offset", BigInteger, nullable=False, comment="where the query began"),
    Column("scored", BigInteger, nullable=False),
    Column("browse_events", BigInteger, nullable=False),
    Column("labels", BigInteger, nullable=False),
    Column("dead_lettered", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False, server_default="0", comment="given up by a person: stream_lost_ranges"),
    Column("late", BigInteger, nullable=False, server_default="0", comment="among the scored"),
    Column("flagged", BigInteger, nullable=False, server_default="0", comment="among the scored"),
    Column("topic_id", Text, comment="Kafka's id of the topic, which changes when it is made anew"),
    CheckConstraint(
        "next_offset - first_offset = scored + browse_events + labels + dead_lettered + duplicates + lost",
        name="accounting",
    ),
    comment="The accounting identity per partition, exact after every batch",
)

stream_lost_ranges = Table(
    "stream_lost_ranges",
    metadata,
    Column("query", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("kafka_partition", Integer, primary_key=True),
    Column("from_offset", BigInteger, primary_key=True),
    Column("until_offset", BigInteger, nullable=False, comment="exclusive"),
    Column("reason", Text, nullable=False),
    _created_at("accepted_at"),
    comment="Messages that Kafka no longer held when the stream got to them, given up with fraudctl rebuild",
)

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("at", Timestamp, primary_key=True, server_default=text("clock_timestamp()")),
    Column("batches", BigInteger, nullable=False, comment="micro-batches compared row by row"),
    Column("messages", BigInteger, nullable=False, comment="read since the stream's first start"),
    Column("unread", BigInteger, nullable=False, comment="in Kafka, and not read yet"),
    Column("differences", BigInteger, nullable=False, comment="how many were found; 0: the books agree"),
    Column("examples", ARRAY(Text), nullable=False, comment="the first of them"),
    Column(
        "waiting",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="what will pass by itself: batches that weren't published yet",
    ),
    comment="What each run of reconcile_stream found, for 30 days",
)

reconciliation_differences = Table(
    "reconciliation_differences",
    metadata,
    Column("difference_id", BigInteger, Identity(), primary_key=True),
    Column("key", Text, nullable=False, comment="what differs, and by how much"),
    Column("text", Text, nullable=False, comment="as it was first found"),
    _created_at("found_at"),
    _created_at("seen_at"),
    Column("acknowledged_at", Timestamp),
    Column("acknowledged_by", Text, comment="who said so: a user of the operating system"),
    Column("reason", Text, comment="why it may stay, or how it was mended"),
    UniqueConstraint("key"),
    CheckConstraint("(acknowledged_at IS NULL) = (reason IS NULL)", name="reason"),
    Index("reconciliation_differences_open_idx", "difference_id", postgresql_where=text("acknowledged_at IS NULL")),
    comment="Differences of the books: open until they are acknowledged",
)

reconciliation_positions = Table(
    "reconciliation_positions",
    metadata,
    Column("name", Text, primary_key=True, comment="new batches, batches or hours"),
    Column("next", BigInteger, comment="a batch_id, or an hour in seconds since 1970; null: the round begins anew"),
    Column("begun_at", Timestamp, nullable=False, comment="when this round began"),
    Column("whole_since", Timestamp, comment="when the last whole round began: all was compared since"),
    comment="Where the next run of reconcile_stream goes on",
)

# --- what retention leaves ----------------------------------------------------------------------------------------

retired_totals = Table(
    "retired_totals",
    metadata,
    Column("table_name", Text, primary_key=True),
    Column("figure", Text, primary_key=True, comment="rows, or a column that was added up"),
    Column("total", Numeric, nullable=False),
    comment="Sums of the rows that retention deleted: table and this are the sums of all time",
)

retired_transactions = Table(
    "retired_transactions",
    metadata,
    Column("id_hash", Uuid, primary_key=True, comment="first half of the transaction id's SHA-256"),
    Column("content_hash", BigInteger, comment="as in scored_transactions"),
    Column("kafka_partition", Integer, nullable=False),
    Column("kafka_offset", BigInteger, nullable=False),
    _created_at("retired_at"),
    Index(None, "retired_at"),
    comment="Transactions that retention deleted, so that a repeat of one is still known",
)

rollup_horizons = Table(
    "rollup_horizons",
    metadata,
    Column("table_name", Text, primary_key=True),
    Column("thinned_until", Timestamp, nullable=False),
    Column("deleted_until", Timestamp, comment="a whole hour; older windows may be gone"),
    comment="Until when each rollup's windows are no longer those that the stream writes",
)

# --- the registry -------------------------------------------------------------------------------------------------

model_versions = Table(
    "model_versions",
    metadata,
    Column("version", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("artifact", Text, nullable=False, comment="folder of the artifact"),
    Column("sha256", Text, nullable=False),
    Column("features", ARRAY(Text), nullable=False),
    Column("threshold", Double, nullable=False),
    Column("metrics", JSONB, nullable=False),
    Column("trained_at", Timestamp, nullable=False),
    _created_at("registered_at"),
    Column("promoted_at", Timestamp),
    Column("shipped", Boolean, nullable=False, server_default=text("false"), comment="came with the repository"),
    CheckConstraint("status IN ('champion', 'challenger', 'archived')", name="status"),
    Index("model_versions_one_champion_idx", "status", unique=True, postgresql_where=text("status = 'champion'")),
    Index("model_versions_one_challenger_idx", "status", unique=True, postgresql_where=text("status = 'challenger'")),
    comment="Models; one champion and one challenger at a time",
)
