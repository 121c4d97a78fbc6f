"""Generations of the checkpoint, conflicting ids, crashed batches, and topics that were made anew."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_IDENTITY = "next_offset - first_offset = scored + browse_events + labels + dead_lettered + duplicates"
_FENCE = "The fence: which driver may write"


def _added() -> dict[str, tuple[sa.Column[Any], ...]]:
    return {
        "scored_transactions": (
            sa.Column(
                "content_hash",
                sa.BigInteger(),
                comment="of the transaction as received: tells a repeat from a conflict",
            ),
        ),
        "transaction_labels": (
            sa.Column(
                "topic",
                sa.Text(),
                nullable=False,
                server_default="transaction-labels",
                comment="with @id when made anew since",
            ),
        ),
        "stream_queries": (
            # The layout that the stream had until now.
            sa.Column(
                "state_layout",
                sa.Integer(),
                nullable=False,
                server_default="1",
                comment="of the profiles in the checkpoint",
            ),
            sa.Column(
                "generation",
                sa.BigInteger(),
                nullable=False,
                server_default="0",
                comment="which checkpoint: 0, or when a rebuild began another one, in seconds since 1970",
            ),
            sa.Column(
                "first_batch",
                sa.BigInteger(),
                nullable=False,
                server_default="0",
                comment="ledger's id of its batch 0",
            ),
            sa.Column(
                "resume_offsets",
                postgresql.JSONB(),
                nullable=False,
                server_default="{}",
                comment="{topic: {partition: offset}}: before these, messages only rebuild profiles",
            ),
            sa.Column(
                "crashed_batch", sa.BigInteger(), comment="the batch that a driver left without an error of its own"
            ),
            sa.Column(
                "crashes",
                sa.Integer(),
                nullable=False,
                server_default="0",
                comment="how many drivers in a row left it so",
            ),
        ),
        "stream_offsets": (
            sa.Column(
                "lost",
                sa.BigInteger(),
                nullable=False,
                server_default="0",
                comment="given up by a person: stream_lost_ranges",
            ),
            sa.Column("late", sa.BigInteger(), nullable=False, server_default="0", comment="among the scored"),
            sa.Column("flagged", sa.BigInteger(), nullable=False, server_default="0", comment="among the scored"),
            sa.Column("topic_id", sa.Text(), comment="Kafka's id of the topic, which changes when it is made anew"),
        ),
    }


def upgrade() -> None:
    """Applies it."""
    for table, columns in _added().items():
        for column in columns:
            op.add_column(table, column, schema="fraud")
    op.alter_column("stream_queries", "state_layout", server_default=None, schema="fraud")
    op.create_table_comment(
        "stream_queries", f"{_FENCE}, and which checkpoint counts", existing_comment=_FENCE, schema="fraud"
    )
    op.execute(
        "UPDATE fraud.stream_offsets o SET (late, flagged) = "
        "(SELECT count(*) FILTER (WHERE late), count(*) FILTER (WHERE is_fraud) FROM fraud.scored_transactions t "
        "WHERE t.kafka_partition = o.kafka_partition) WHERE topic = 'transactions'"
    )
    _replace_identity(f"{_IDENTITY} + lost")
    op.drop_constraint("transaction_labels_kafka_partition_kafka_offset_key", "transaction_labels", schema="fraud")
    op.create_unique_constraint(
        "transaction_labels_topic_kafka_partition_kafka_offset_key",
        "transaction_labels",
        ["topic", "kafka_partition", "kafka_offset"],
        schema="fraud",
    )
    op.create_index("transaction_labels_batch_id_idx", "transaction_labels", ["batch_id"], schema="fraud")
    op.create_table(
        "stream_lost_ranges",
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("kafka_partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("from_offset", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("until_offset", sa.BigInteger(), nullable=False, comment="exclusive"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint(
            "query", "topic", "kafka_partition", "from_offset", name=op.f("stream_lost_ranges_pkey")
        ),
        schema="fraud",
        comment="Messages that Kafka no longer held when the stream got to them, given up with fraudctl rebuild",
    )


def downgrade() -> None:
    """Undoes it; refused by the identity once messages were given up."""
    op.drop_table("stream_lost_ranges", schema="fraud")
    op.drop_index("transaction_labels_batch_id_idx", "transaction_labels", schema="fraud")
    op.drop_constraint(
        "transaction_labels_topic_kafka_partition_kafka_offset_key", "transaction_labels", schema="fraud"
    )
    op.create_unique_constraint(
        "transaction_labels_kafka_partition_kafka_offset_key",
        "transaction_labels",
        ["kafka_partition", "kafka_offset"],
        schema="fraud",
    )
    _replace_identity(_IDENTITY)
    op.create_table_comment(
        "stream_queries", _FENCE, existing_comment=f"{_FENCE}, and which checkpoint counts", schema="fraud"
    )
    for table, columns in _added().items():
        for column in columns:
            op.drop_column(table, column.name, schema="fraud")


def _replace_identity(identity: str) -> None:
    name = "stream_offsets_accounting_check"
    op.drop_constraint(name, "stream_offsets", schema="fraud")
    op.create_check_constraint(op.f(name), "stream_offsets", identity, schema="fraud")
