"""What retention leaves of the rows that it deletes."""

from sqlalchemy import BigInteger, Column, Index, Integer, Numeric, Table, Text, Uuid

from fraudstream.storage.tables.schema import Timestamp, created_at, metadata

retired_totals = Table(
    "retired_totals",
    metadata,
    Column("table_name", Text, primary_key=True),
    Column("figure", Text, primary_key=True, comment="rows, or a column that was added up"),
    Column("total", Numeric, nullable=False),
    comment="Sums of the rows that retention deleted, less those of an imported past: with the table's, the stream's",
)

retired_transactions = Table(
    "retired_transactions",
    metadata,
    Column("id_hash", Uuid, primary_key=True, comment="first half of the transaction id's SHA-256"),
    Column("content_hash", BigInteger, comment="as in scored_transactions"),
    Column("kafka_partition", Integer, nullable=False),
    Column("kafka_offset", BigInteger, nullable=False),
    created_at("retired_at"),
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
