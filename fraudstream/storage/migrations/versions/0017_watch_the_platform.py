"""Watch the platform: readings, incidents, and which alerts were looked at for one.

Three new tables, and a column with a constant default, which writes no row: alerts from before count as looked at. The
index on alerts reads them once, and holds none of them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Applies it."""
    op.create_table(
        "platform_readings",
        sa.Column(
            "reading", sa.Text(), nullable=False, comment="what was read: lag, disk_free_bytes, … (docs/metrics.md)"
        ),
        sa.Column("place", sa.Text(), nullable=False, comment="of what: a topic, a folder, a file; may be empty"),
        sa.Column("at", _TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("reading", "place", "at", name=op.f("platform_readings_pkey")),
        schema="fraud",
        comment="What isn't in other tables, as watch_platform reads it, for 30 days",
    )
    op.create_index(op.f("platform_readings_at_idx"), "platform_readings", ["at"], schema="fraud")
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "source", sa.Text(), nullable=False, comment="the check that found it, or how its alerts are grouped"
        ),
        sa.Column(
            "subject", sa.Text(), nullable=False, comment="what it is about: a reason, a disk, a device; may be empty"
        ),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False, comment="as it was last seen"),
        sa.Column("opened_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("acknowledged_at", _TIME, nullable=True),
        sa.Column(
            "acknowledged_by", sa.Text(), nullable=True, comment="who looks after it: a user of the operating system"
        ),
        sa.Column("closed_at", _TIME, nullable=True, comment="when its fault had passed"),
        sa.Column("told_opened_at", _TIME, nullable=True, comment="when people were told that it opened"),
        sa.Column("told_closed_at", _TIME, nullable=True, comment="when people were told that it closed"),
        sa.CheckConstraint("severity IN ('warning', 'critical')", name=op.f("incidents_severity_check")),
        sa.PrimaryKeyConstraint("incident_id", name=op.f("incidents_pkey")),
        schema="fraud",
        comment="Incidents: at most one is open of a source and subject",
    )
    op.create_index(
        "incidents_open_idx",
        "incidents",
        ["source", "subject"],
        unique=True,
        schema="fraud",
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_index(op.f("incidents_opened_at_idx"), "incidents", ["opened_at"], schema="fraud")
    op.create_table(
        "incident_alerts",
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "amount", sa.Numeric(), nullable=True, comment="in the shop currency; null: no exchange rate is known"
        ),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["fraud.fraud_alerts.transaction_id"],
            name=op.f("incident_alerts_transaction_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["fraud.incidents.incident_id"],
            name=op.f("incident_alerts_incident_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("transaction_id", "incident_id", name=op.f("incident_alerts_pkey")),
        schema="fraud",
        comment="Alerts of an incident, as fraud_alert_response grouped them",
    )
    op.create_index(op.f("incident_alerts_incident_id_idx"), "incident_alerts", ["incident_id"], schema="fraud")
    op.add_column(
        "fraud_alerts",
        sa.Column(
            "grouped_at",
            _TIME,
            server_default=sa.text("now()"),
            nullable=True,
            comment="when fraud_alert_response looked for its incident",
        ),
        schema="fraud",
    )
    op.alter_column("fraud_alerts", "grouped_at", server_default=None, schema="fraud")
    op.create_index(
        "fraud_alerts_ungrouped_idx",
        "fraud_alerts",
        ["created_at"],
        schema="fraud",
        postgresql_where=sa.text("grouped_at IS NULL"),
    )


def downgrade() -> None:
    """Takes it back. Readings and incidents are lost."""
    op.drop_index("fraud_alerts_ungrouped_idx", "fraud_alerts", schema="fraud")
    op.drop_column("fraud_alerts", "grouped_at", schema="fraud")
    for table in ("incident_alerts", "incidents", "platform_readings"):
        op.drop_table(table, schema="fraud")
