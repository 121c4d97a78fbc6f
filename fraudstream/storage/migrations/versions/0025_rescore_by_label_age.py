"""Rescore by label age: what was and would have been decided, with the labels of an age."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies it."""
    op.create_table(
        "rescored_ages",
        sa.Column("rescoring_id", sa.BigInteger(), nullable=False),
        sa.Column("label_age_hours", sa.Integer(), nullable=False, comment="labels are those that had come by then"),
        sa.Column("transactions", sa.BigInteger(), nullable=False, comment="that were so old when they were rescored"),
        sa.Column("frauds", sa.BigInteger(), nullable=False, comment="whose newest label of that age says fraud"),
        sa.Column("was_flagged", sa.BigInteger(), nullable=False),
        sa.Column("would_flag", sa.BigInteger(), nullable=False),
        sa.Column("was_caught", sa.BigInteger(), nullable=False, comment="flagged, and among the frauds"),
        sa.Column("would_catch", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rescoring_id"],
            ["fraud.rescorings.rescoring_id"],
            name=op.f("rescored_ages_rescoring_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("rescoring_id", "label_age_hours", name=op.f("rescored_ages_pkey")),
        schema="fraud",
        comment="A rescoring by the age of labels: precision is caught of flagged",
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("rescored_ages", schema="fraud")
