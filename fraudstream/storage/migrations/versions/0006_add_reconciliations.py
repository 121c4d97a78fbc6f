"""Add reconciliations."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies it."""
    op.create_table(
        "reconciliations",
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("batches", sa.BigInteger(), nullable=False, comment="micro-batches compared row by row"),
        sa.Column("messages", sa.BigInteger(), nullable=False, comment="read since the stream's first start"),
        sa.Column("unread", sa.BigInteger(), nullable=False, comment="in Kafka, and not read yet"),
        sa.Column("differences", sa.BigInteger(), nullable=False, comment="how many were found; 0: the books agree"),
        sa.Column("examples", postgresql.ARRAY(sa.Text()), nullable=False, comment="the first of them"),
        sa.PrimaryKeyConstraint("at", name=op.f("reconciliations_pkey")),
        schema="fraud",
        comment="What each run of reconcile_stream found, for 30 days",
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("reconciliations", schema="fraud")
