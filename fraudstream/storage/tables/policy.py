"""What decides with a score: versions of the policy, its lists, what its rules matched, and who changed what."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from fraudstream.storage.tables.schema import Money, Timestamp, created_at, metadata


def decision_columns() -> tuple[Column[object], ...]:
    """The columns of a row that something was decided about."""
    return (
        Column("policy_version", Integer, comment="null: there was no policy, and the model's threshold decided"),
        Column("decision", Text, comment="allow, review or block; null: from before there were decisions"),
        Column(
            "matched_rules",
            ARRAY(Text),
            nullable=False,
            server_default=text("'{}'::text[]"),
            comment="the live rules that matched, also those that others outweighed",
        ),
        Column(
            "review_probability",
            Double,
            comment="of what nothing flagged and chance sent to review: with which probability; else null",
        ),
    )


policy_versions = Table(
    "policy_versions",
    metadata,
    Column("policy_version", Integer, primary_key=True, autoincrement=False),
    created_at("created_at"),
    Column("author", Text, nullable=False),
    Column("approver", Text, comment="null when none was needed"),
    Column("approved_at", Timestamp, comment="null: it waits for approval; the newest approved version is at work"),
    Column("comment", Text, nullable=False),
    Column("rolled_back_to", Integer, comment="the version whose document this one repeats"),
    Column("document", JSONB, nullable=False, comment="thresholds, rules, random review, approvals needed"),
    comment="Immutable snapshots of the policy",
)

lists = Table(
    "lists",
    metadata,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("created_by", Text, nullable=False),
    created_at("created_at"),
    CheckConstraint(
        "kind IN ('customer', 'device', 'card', 'address_cell', 'email_hash', 'ip_country')",
        name="kind",
    ),
    comment="Lists that rules name",
)

list_entries = Table(
    "list_entries",
    metadata,
    Column("entry_id", BigInteger, Identity(), primary_key=True),
    Column("list_name", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("added_by", Text, nullable=False),
    created_at("added_at"),
    Column("expires_at", Timestamp, comment="null: never"),
    Column("removed_by", Text),
    Column("removed_at", Timestamp, comment="null: it wasn't; one that was stays, for looking back"),
    ForeignKeyConstraint(["list_name"], [lists.c.name]),
    Index("list_entries_kept_idx", "list_name", "value", postgresql_where=text("removed_at IS NULL")),
    comment="Entries of lists: at work while neither removed nor expired",
)

list_changes = Table(
    "list_changes",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("version", BigInteger, nullable=False, comment="the transaction that changed an entry last"),
    CheckConstraint("one", name="one"),
    comment="One row, written by a trigger of list_entries; the stream re-reads the lists when it changes",
)

rule_counts = Table(
    "rule_counts",
    metadata,
    Column("window_start", Timestamp, primary_key=True, comment="start of an hour of event time"),
    Column("rule", Text, primary_key=True),
    Column("state", Text, primary_key=True, comment="shadow or live"),
    Column("matched", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False, comment="of these: decided otherwise than without the rule"),
    Column("amount", Money, nullable=False, comment="of the matched, in the shop currency"),
    comment="Transactions that a rule matched; of a shadow rule, changed says what it would do",
)

rule_failures = Table(
    "rule_failures",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("condition", Text, nullable=False, comment="it is off while its condition is this one"),
    Column("policy_version", Integer, nullable=False),
    Column("error", Text, nullable=False),
    created_at("failed_at"),
    comment="Rules that the stream switched off, since they failed",
)

backtests = Table(
    "backtests",
    metadata,
    Column("backtest_id", BigInteger, Identity(), primary_key=True),
    Column("asked_by", Text, nullable=False),
    created_at("asked_at"),
    Column("rule", Text, nullable=False),
    Column("condition", Text, nullable=False, comment="as it was when it was asked"),
    Column("action", Text, nullable=False),
    Column("days", Integer, nullable=False, comment="the newest days of the archive"),
    Column("begun_at", Timestamp, comment="null: it waits"),
    Column("ended_at", Timestamp, comment="null: it waits, or is under way"),
    Column("report", JSONB, comment="null: it hasn't ended, or failed"),
    Column("error", Text, comment="why it failed; null: it didn't"),
    CheckConstraint("days BETWEEN 1 AND 3660", name="days"),
    Index("backtests_waiting_idx", "backtest_id", postgresql_where=text("ended_at IS NULL")),
    Index(None, "rule"),
    comment="Rules to try on past transactions, as the desk asks for it, and what was found",
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("audit_id", BigInteger, Identity(), primary_key=True),
    created_at("at"),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("before", JSONB),
    Column("after", JSONB),
    Index(None, "at"),
    Index(None, "subject"),
    comment="Who changed what: nobody changes or deletes a row",
)
