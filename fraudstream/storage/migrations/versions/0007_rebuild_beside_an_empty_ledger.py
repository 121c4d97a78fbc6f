"""Rebuild beside an empty ledger: what is fixed with a checkpoint is unknown until a driver starts."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

FIXED = ("state_buckets", "state_partitions", "state_layout")


def upgrade() -> None:
    """Applies it."""
    for column in FIXED:
        op.alter_column("stream_queries", column, existing_type=sa.Integer(), nullable=True, schema="fraud")


def downgrade() -> None:
    """Takes it back."""
    op.execute("DELETE FROM fraud.stream_queries WHERE state_layout IS NULL")
    for column in FIXED:
        op.alter_column("stream_queries", column, existing_type=sa.Integer(), nullable=False, schema="fraud")
