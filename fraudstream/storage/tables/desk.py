"""What analysts do at the desk: claims, verdicts and notes, which go with their transaction; and sessions of alerts."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from fraudstream.storage.tables.results import scored_transactions
from fraudstream.storage.tables.schema import Timestamp, created_at, metadata


def _of_transaction() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["transaction_id"], [scored_transactions.c.transaction_id], ondelete="CASCADE")


alert_claims = Table(
    "alert_claims",
    metadata,
    Column("claim_id", BigInteger, Identity(), primary_key=True),
    Column("transaction_id", Text, nullable=False),
    Column("claimed_by", Text, nullable=False),
    created_at("claimed_at"),
    Column(
        "expires_at",
        Timestamp,
        nullable=False,
        server_default=text("now() + interval '15 minutes'"),
        comment="from then on somebody else may claim it",
    ),
    Column("released_at", Timestamp, comment="by a verdict, by hand, or by the next claim"),
    _of_transaction(),
    Index("alert_claims_held_idx", "transaction_id", unique=True, postgresql_where=text("released_at IS NULL")),
    Index(None, "transaction_id"),
    comment="Who works on a transaction: one at a time, and who did",
)

analyst_verdicts = Table(
    "analyst_verdicts",
    metadata,
    Column("verdict_id", BigInteger, Identity(), primary_key=True),
    Column("transaction_id", Text, nullable=False),
    Column("revision", Integer, nullable=False, comment="1, 2, …: each says that its analyst knew the one before"),
    Column("verdict", Text, nullable=False),
    Column("reason_code", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    created_at("decided_at"),
    Column(
        "publish_after",
        Timestamp,
        nullable=False,
        server_default=text("now() + interval '1 minute'"),
        comment="until then it can be undone",
    ),
    Column("undone_at", Timestamp),
    Column("published_at", Timestamp, comment="when Kafka acknowledged its label; null of an unsure one"),
    _of_transaction(),
    UniqueConstraint("transaction_id", "revision"),
    CheckConstraint("verdict IN ('fraud', 'honest', 'unsure')", name="verdict"),
    CheckConstraint("undone_at IS NULL OR published_at IS NULL", name="undone"),
    Index(
        "analyst_verdicts_outbox_idx",
        "publish_after",
        postgresql_where=text("published_at IS NULL AND undone_at IS NULL AND verdict <> 'unsure'"),
    ),
    Index(None, "decided_by", "decided_at"),
    comment="Analysts' verdicts; those that stand are sent as labels",
)

alert_notes = Table(
    "alert_notes",
    metadata,
    Column("note_id", BigInteger, Identity(), primary_key=True),
    Column("transaction_id", Text, nullable=False),
    Column("author", Text, nullable=False),
    created_at("written_at"),
    Column("note", Text, nullable=False),
    _of_transaction(),
    CheckConstraint("char_length(note) BETWEEN 1 AND 2000", name="note"),
    Index(None, "transaction_id"),
    comment="What analysts write about a transaction",
)

session_events = Table(
    "session_events",
    metadata,
    Column("customer_id", Text, primary_key=True),
    Column("session_id", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("event_time", Timestamp, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("product_id", Text),
    Column("device_id", Text),
    created_at("kept_at"),
    Index(None, "kept_at"),
    comment="Browse events of sessions that ended in an alert, for the desk",
)
