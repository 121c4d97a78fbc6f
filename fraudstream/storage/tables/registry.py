"""The registry of models."""

from sqlalchemy import ARRAY, Boolean, CheckConstraint, Column, Double, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from fraudstream.storage.tables.schema import Timestamp, created_at, metadata

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
    created_at("registered_at"),
    Column("promoted_at", Timestamp),
    Column("shipped", Boolean, nullable=False, server_default=text("false"), comment="came with the repository"),
    CheckConstraint("status IN ('champion', 'challenger', 'archived')", name="status"),
    Index("model_versions_one_champion_idx", "status", unique=True, postgresql_where=text("status = 'champion'")),
    Index("model_versions_one_challenger_idx", "status", unique=True, postgresql_where=text("status = 'challenger'")),
    comment="Models; one champion and one challenger at a time",
)
