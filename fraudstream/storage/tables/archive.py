"""What the archive needs of Postgres: features that wait to be published, what they are, and what was compared."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Date,
    Double,
    ForeignKeyConstraint,
    Identity,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from fraudstream.storage.tables.schema import Money, Timestamp, created_at, metadata

feature_sets = Table(
    "feature_sets",
    metadata,
    Column("feature_set", Text, primary_key=True, comment="hash of the names"),
    Column("names", ARRAY(Text), nullable=False, comment="of the features, in the order of their values"),
    created_at("first_used_at"),
    comment="What the packed features of topic transaction-features are",
)

batch_features = Table(
    "batch_features",
    metadata,
    Column("batch_id", BigInteger, primary_key=True),
    Column("feature_set", Text, nullable=False),
    Column("features", LargeBinary, nullable=False, comment="of each transaction: place, offset, float32 values"),
    Column(
        "topics",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{transactions}'"),
        comment="of the transactions; a place is its partition times their number, and the number of its topic",
    ),
    comment="Features of micro-batches that aren't published yet: a row a batch, deleted once Kafka has them",
)

archive_runs = Table(
    "archive_runs",
    metadata,
    Column("run_id", BigInteger, Identity(), primary_key=True),
    Column("transactions", BigInteger, nullable=False, comment="appended by it"),
    Column("labels", BigInteger, nullable=False, comment="appended by it"),
    Column("compared_from", BigInteger, nullable=False, comment="batch id: where the comparison with the ledger began"),
    Column("compared_until", BigInteger, nullable=False, comment="batch id: where the next run's begins"),
    Column("differences", BigInteger, nullable=False),
    created_at("finished_at"),
    comment="Runs of the Dag archive_transactions",
)

rescorings = Table(
    "rescorings",
    metadata,
    Column("rescoring_id", BigInteger, Identity(), primary_key=True),
    Column("model_version", Text, nullable=False),
    Column("policy_version", Text, comment="null: the model's threshold alone decides"),
    Column("threshold", Double, nullable=False),
    Column("since", Timestamp, nullable=False, comment="event time"),
    Column("until", Timestamp, nullable=False, comment="event time, exclusive"),
    Column("known_at", Timestamp, nullable=False, comment="labels are those that were known then"),
    Column("transactions", BigInteger, nullable=False),
    Column("left_out", BigInteger, nullable=False, comment="whose features the model can't be given"),
    Column("request", Text, nullable=False, comment="what asked for it, such as a Dag's run: a repeat replaces it"),
    created_at("finished_at"),
    UniqueConstraint("request"),
    comment="Periods scored again from the archive: what would have been decided, beside what was",
)

rescored_days = Table(
    "rescored_days",
    metadata,
    Column("rescoring_id", BigInteger, primary_key=True),
    Column("day", Date, primary_key=True, comment="of event time, UTC"),
    Column("transactions", BigInteger, nullable=False),
    Column("labelled", BigInteger, nullable=False, comment="of which a label was known"),
    Column("frauds", BigInteger, nullable=False, comment="whose newest known label says fraud"),
    Column("was_flagged", BigInteger, nullable=False),
    Column("would_flag", BigInteger, nullable=False),
    Column("both_flagged", BigInteger, nullable=False),
    Column("was_caught", BigInteger, nullable=False, comment="flagged, and among the frauds"),
    Column("would_catch", BigInteger, nullable=False),
    Column("fraud_amount", Money, nullable=False, comment="in the shop currency, as all amounts here"),
    Column("was_flagged_amount", Money, nullable=False),
    Column("would_flag_amount", Money, nullable=False),
    Column("was_caught_amount", Money, nullable=False),
    Column("would_catch_amount", Money, nullable=False),
    ForeignKeyConstraint(["rescoring_id"], [rescorings.c.rescoring_id], ondelete="CASCADE"),
    comment="A rescoring by event day",
)

rescored_ages = Table(
    "rescored_ages",
    metadata,
    Column("rescoring_id", BigInteger, primary_key=True),
    Column("label_age_hours", Integer, primary_key=True, comment="labels are those that had come by then"),
    Column("transactions", BigInteger, nullable=False, comment="that were so old when they were rescored"),
    Column("frauds", BigInteger, nullable=False, comment="whose newest label of that age says fraud"),
    Column("was_flagged", BigInteger, nullable=False),
    Column("would_flag", BigInteger, nullable=False),
    Column("was_caught", BigInteger, nullable=False, comment="flagged, and among the frauds"),
    Column("would_catch", BigInteger, nullable=False),
    ForeignKeyConstraint(["rescoring_id"], [rescorings.c.rescoring_id], ondelete="CASCADE"),
    comment="A rescoring by the age of labels: precision is caught of flagged",
)
