"""Columns for replaying dead letters, and sums of money without a limit."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLE, _CLAIMED, _REPLAYED = "dead_letters", "dead_letters_claimed_idx", "dead_letters_replayed_idx"
_REPLAYS: tuple[tuple[str, sa.types.TypeEngine[Any], str], ...] = (
    ("replay_claimed_at", sa.DateTime(timezone=True), "when a replay was about to send it"),
    ("replay_from", sa.BigInteger(), "where Kafka's partition ended then"),
    ("replayed_offset", sa.BigInteger(), "of the replayed message, in the same partition"),
)
_REPLAYED_AT = "when Kafka acknowledged the replayed message"
_SUMS = (
    ("product_sales", "revenue"),
    ("fraud_counts", "amount"),
    ("fraud_counts", "flagged_amount"),
    ("fraud_locations", "flagged_amount"),
)


def upgrade() -> None:
    """Applies it. Without a limit to check, no table is written anew."""
    op.add_column(
        _TABLE,
        sa.Column(
            "redacted",
            sa.Boolean(),
            nullable=False,
            server_default=sa.text("false"),
            comment="key or payload isn't whole: card numbers masked, or its end cut off; can't be replayed",
        ),
        schema="fraud",
    )
    for name, type_, comment in _REPLAYS:
        op.add_column(_TABLE, sa.Column(name, type_, nullable=True, comment=comment), schema="fraud")
    op.alter_column(_TABLE, "replayed_at", comment=_REPLAYED_AT, schema="fraud")
    # What was masked before has asterisks where digits were.
    op.execute("UPDATE fraud.dead_letters SET redacted = true WHERE position('************'::bytea IN payload) > 0")
    op.create_index(
        _CLAIMED,
        _TABLE,
        ["topic", "kafka_partition"],
        schema="fraud",
        postgresql_where=sa.text("replay_claimed_at IS NOT NULL AND replayed_at IS NULL"),
    )
    op.create_index(
        _REPLAYED,
        _TABLE,
        ["topic", "kafka_partition", "replayed_offset"],
        schema="fraud",
        postgresql_where=sa.text("replayed_offset IS NOT NULL"),
    )
    for table, name in _SUMS:
        op.alter_column(table, name, type_=sa.Numeric(), schema="fraud")


def downgrade() -> None:
    """Takes it back. Fails when a sum has grown beyond 14 digits."""
    for table, name in _SUMS:
        op.alter_column(table, name, type_=sa.Numeric(14, 2), schema="fraud")
    op.drop_index(_REPLAYED, _TABLE, schema="fraud")
    op.drop_index(_CLAIMED, _TABLE, schema="fraud")
    op.alter_column(_TABLE, "replayed_at", comment=None, existing_comment=_REPLAYED_AT, schema="fraud")
    for name, _, _ in reversed(_REPLAYS):
        op.drop_column(_TABLE, name, schema="fraud")
    op.drop_column(_TABLE, "redacted", schema="fraud")
