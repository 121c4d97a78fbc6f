"""Read live sources: messages that a mapping leaves out are counted, and rows know the topic that they came from.

The new columns of filled tables have constant defaults: no row is written, and it takes no longer on a filled database.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_CHECK = "stream_offsets_accounting_check"
_BEFORE = "scored + browse_events + labels + dead_lettered + duplicates"
_SKIPPED = "left out by the mapping of a shop's own form, or without a value"
_FEATURES = "of each transaction: partition, offset, float32 values"
_FEATURES_NOW = "of each transaction: place, offset, float32 values"
_TOPICS = "of the transactions; a place is its partition times their number, and the number of its topic"


def upgrade() -> None:
    """Applies it."""
    for table in ("stream_batches", "stream_offsets"):
        skipped = sa.Column("skipped", sa.BigInteger(), server_default="0", nullable=False, comment=_SKIPPED)
        op.add_column(table, skipped, schema="fraud")
    _check(f"{_BEFORE} + skipped")
    op.add_column(
        "scored_transactions",
        sa.Column("topic", sa.Text(), server_default="transactions", nullable=False, comment="that it came from"),
        schema="fraud",
    )
    op.add_column(
        "batch_features",
        sa.Column(
            "topics",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{transactions}'"),
            nullable=False,
            comment=_TOPICS,
        ),
        schema="fraud",
    )
    _comment(_FEATURES_NOW, _FEATURES)


def downgrade() -> None:
    """Takes it back. Fails where a message was left out by its mapping."""
    _comment(_FEATURES, _FEATURES_NOW)
    op.drop_column("batch_features", "topics", schema="fraud")
    op.drop_column("scored_transactions", "topic", schema="fraud")
    _check(_BEFORE)
    for table in ("stream_offsets", "stream_batches"):
        op.drop_column(table, "skipped", schema="fraud")


def _check(outcomes: str) -> None:
    op.drop_constraint(_CHECK, "stream_offsets", schema="fraud")
    op.create_check_constraint(
        op.f(_CHECK), "stream_offsets", f"next_offset - first_offset = {outcomes} + lost", schema="fraud"
    )


def _comment(now: str, before: str) -> None:
    op.alter_column(
        "batch_features",
        "features",
        existing_type=sa.LargeBinary(),
        existing_nullable=False,
        comment=now,
        existing_comment=before,
        schema="fraud",
    )
