"""What watching keeps: readings of the platform, and incidents."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKeyConstraint,
    Identity,
    Index,
    Table,
    Text,
    text,
)

from fraudstream.storage.tables.results import fraud_alerts
from fraudstream.storage.tables.schema import Money, Timestamp, created_at, metadata

platform_readings = Table(
    "platform_readings",
    metadata,
    Column("reading", Text, primary_key=True, comment="what was read: lag, disk_free_bytes, … (docs/metrics.md)"),
    Column("place", Text, primary_key=True, comment="of what: a topic, a folder, a file; may be empty"),
    Column("at", Timestamp, primary_key=True, server_default=text("clock_timestamp()")),
    Column("value", Double, nullable=False),
    Index(None, "at"),
    comment="What isn't in other tables, as watch_platform reads it, for 30 days",
)

incidents = Table(
    "incidents",
    metadata,
    Column("incident_id", BigInteger, Identity(), primary_key=True),
    Column("source", Text, nullable=False, comment="the check that found it, or how its alerts are grouped"),
    Column("subject", Text, nullable=False, comment="what it is about: a reason, a disk, a device; may be empty"),
    Column("severity", Text, nullable=False),
    Column("text", Text, nullable=False, comment="as it was last seen"),
    created_at("opened_at"),
    created_at("seen_at"),
    Column("acknowledged_at", Timestamp),
    Column("acknowledged_by", Text, comment="who looks after it: a user of the operating system"),
    Column("closed_at", Timestamp, comment="when its fault had passed"),
    Column("told_opened_at", Timestamp, comment="when people were told that it opened"),
    Column("told_closed_at", Timestamp, comment="when people were told that it closed"),
    CheckConstraint("severity IN ('warning', 'critical')", name="severity"),
    Index("incidents_open_idx", "source", "subject", unique=True, postgresql_where=text("closed_at IS NULL")),
    Index(None, "opened_at"),
    comment="Incidents: at most one is open of a source and subject",
)

incident_alerts = Table(
    "incident_alerts",
    metadata,
    Column("transaction_id", Text, primary_key=True),
    Column("incident_id", BigInteger, primary_key=True),
    Column("amount", Money, comment="in the shop currency; null: no exchange rate is known"),
    ForeignKeyConstraint(["transaction_id"], [fraud_alerts.c.transaction_id], ondelete="CASCADE"),
    ForeignKeyConstraint(["incident_id"], [incidents.c.incident_id], ondelete="CASCADE"),
    Index(None, "incident_id"),
    comment="Alerts of an incident, as fraud_alert_response grouped them",
)
