"""Keep differences until somebody acknowledges them, and how far the comparison of everything has come."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies it. Both tables are new, and the column has a default, so that no row is written."""
    op.create_table(
        "reconciliation_differences",
        sa.Column("difference_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="what differs, and by how much"),
        sa.Column("text", sa.Text(), nullable=False, comment="as it was first found"),
        sa.Column("found_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True, comment="who said so: a user of the operating system"),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it may stay, or how it was mended"),
        sa.CheckConstraint(
            "(acknowledged_at IS NULL) = (reason IS NULL)", name=op.f("reconciliation_differences_reason_check")
        ),
        sa.PrimaryKeyConstraint("difference_id", name=op.f("reconciliation_differences_pkey")),
        sa.UniqueConstraint("key", name=op.f("reconciliation_differences_key_key")),
        schema="fraud",
        comment="Differences of the books: open until they are acknowledged",
    )
    op.create_index(
        "reconciliation_differences_open_idx",
        "reconciliation_differences",
        ["difference_id"],
        schema="fraud",
        postgresql_where=sa.text("acknowledged_at IS NULL"),
    )
    op.create_table(
        "reconciliation_positions",
        sa.Column("name", sa.Text(), nullable=False, comment="new batches, batches or hours"),
        sa.Column(
            "next",
            sa.BigInteger(),
            nullable=True,
            comment="a batch_id, or an hour in seconds since 1970; null: the round begins anew",
        ),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False, comment="when this round began"),
        sa.Column(
            "whole_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the last whole round began: all was compared since",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("reconciliation_positions_pkey")),
        schema="fraud",
        comment="Where the next run of reconcile_stream goes on",
    )
    op.add_column(
        "reconciliations",
        sa.Column(
            "waiting",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="what will pass by itself: batches that weren't published yet",
        ),
        schema="fraud",
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_column("reconciliations", "waiting", schema="fraud")
    op.drop_table("reconciliation_positions", schema="fraud")
    op.drop_table("reconciliation_differences", schema="fraud")
