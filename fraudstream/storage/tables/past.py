"""The imported past: what it was, and what entity risk counts of it."""

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKeyConstraint, Index, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from fraudstream.storage.tables.schema import Timestamp, created_at, metadata

history_imports = Table(
    "history_imports",
    metadata,
    Column("fingerprint", Text, primary_key=True, comment="SHA-256 of its files: the same import isn't done twice"),
    Column("folder", Text, nullable=False, comment="where it was read"),
    Column("snapshot", Text, nullable=False, comment="the profile snapshot that was made of it"),
    Column("first_event", Timestamp, nullable=False),
    Column("last_event", Timestamp, nullable=False),
    Column("customers", BigInteger, nullable=False, comment="with a profile"),
    Column("browse_events", BigInteger, nullable=False),
    Column("transactions", BigInteger, nullable=False),
    Column("labels", BigInteger, nullable=False),
    Column(
        "rollups_until",
        Timestamp,
        nullable=False,
        comment="a whole hour: windows before are the past's, and no row of the stream's was in them",
    ),
    created_at("imported_at"),
    comment="The past that the platform began with: one row, or none",
)

past_transactions = Table(
    "past_transactions",
    metadata,
    Column("transaction_id", Text, primary_key=True),
    Column("event_time", Timestamp, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("device_id", Text),
    Column("card_token", Text),
    Column("shipping_latitude", Double),
    Column("shipping_longitude", Double),
    Column("items", JSONB, comment="[{product_id}]"),
    Column("terminal_id", Text),
    Column("shop_amount", Double, comment="in the shop currency; null: not known"),
    Index(None, "event_time"),
    comment="What entity risk needs of imported transactions, for as long as they lie in its window",
)

past_labels = Table(
    "past_labels",
    metadata,
    Column("transaction_id", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, comment="in order of their time, and of arrival"),
    Column("is_fraud", Boolean, nullable=False),
    Column("labelled_at", Timestamp, nullable=False, comment="may be yet to come"),
    ForeignKeyConstraint(["transaction_id"], [past_transactions.c.transaction_id], ondelete="CASCADE"),
    comment="Labels of imported transactions",
)
