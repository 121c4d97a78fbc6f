"""Keep sessions of alerts: a table of their browse events, and when an alert's session was read.

What is there already counts as read: its events may have left Kafka. Postgres doesn't rewrite `fraud_alerts` for the
column, whose default is the same for all rows: it takes no longer on a filled database.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Applies it."""
    op.create_table(
        "session_events",
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("event_time", _TIME, nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=True),
        sa.Column("device_id", sa.Text(), nullable=True),
        sa.Column("kept_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "session_id", "event_id", name=op.f("session_events_pkey")),
        schema="fraud",
        comment="Browse events of sessions that ended in an alert, for the desk",
    )
    op.create_index(op.f("session_events_kept_at_idx"), "session_events", ["kept_at"], schema="fraud")
    op.add_column(
        "fraud_alerts",
        sa.Column(
            "session_read_at",
            _TIME,
            server_default=sa.text("now()"),
            nullable=True,
            comment="when its session's browse events were looked for in Kafka",
        ),
        schema="fraud",
    )
    op.alter_column("fraud_alerts", "session_read_at", server_default=None, schema="fraud")
    op.create_index(
        "fraud_alerts_unread_idx",
        "fraud_alerts",
        ["created_at"],
        schema="fraud",
        postgresql_where=sa.text("session_read_at IS NULL"),
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_index("fraud_alerts_unread_idx", "fraud_alerts", schema="fraud")
    op.drop_column("fraud_alerts", "session_read_at", schema="fraud")
    op.drop_table("session_events", schema="fraud")
