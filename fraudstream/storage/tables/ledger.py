"""The ledger: queries, micro-batches, positions, what was lost, and reconciliations."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from fraudstream.storage.tables.schema import Timestamp, created_at, metadata

SKIPPED = "left out by the mapping of a shop's own form, or without a value"

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
    Column("snapshot", Text, comment="the profile snapshot that its checkpoint begins with; null: with no profile"),
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
    Column(
        "with_features",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="whether its transactions' features went to Kafka, too",
    ),
    Column("skipped", BigInteger, nullable=False, server_default="0", comment=SKIPPED),
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
    Column("skipped", BigInteger, nullable=False, server_default="0", comment=SKIPPED),
    CheckConstraint(
        "next_offset - first_offset = scored + browse_events + labels + dead_lettered + duplicates + skipped + lost",
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
    created_at("accepted_at"),
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
    created_at("found_at"),
    created_at("seen_at"),
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
