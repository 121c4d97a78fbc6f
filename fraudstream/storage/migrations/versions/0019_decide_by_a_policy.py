"""Decide by a policy: its versions, lists, counts of its rules, the audit log, and the decision of each row.

The new columns of filled tables have constant defaults, and the constraint on decisions isn't checked for rows of
before, which have none: no row is read or written, and it takes no longer on a filled database.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_DECIDED = ("scored_transactions", "fraud_alerts")
_IS_FRAUD = "the decision: fraud_score >= threshold"
_IS_FRAUD_NOW = "the model's flag: fraud_score >= threshold; what was done is the decision"
_ALERTS = "One row a flagged transaction"
_ALERTS_NOW = "One row a transaction that was decided to be reviewed or blocked"
#: A change waits for the one before to commit, so that whoever saw this row's version has all entries of it.
_NOTE_CHANGE = """
CREATE FUNCTION fraud.note_list_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO fraud.list_changes AS c (one, version) VALUES (true, pg_current_xact_id()::text::bigint)
    ON CONFLICT (one) DO UPDATE SET version = excluded.version;
    RETURN NULL;
END $$
"""
_TRIGGER = """
CREATE TRIGGER note_list_change AFTER INSERT OR UPDATE OR DELETE ON fraud.list_entries
FOR EACH STATEMENT EXECUTE FUNCTION fraud.note_list_change()
"""


def upgrade() -> None:
    """Applies it."""
    for table in _DECIDED:
        _add_decision(table)
    _comment_on_is_fraud(_IS_FRAUD_NOW)
    op.create_table_comment("fraud_alerts", _ALERTS_NOW, existing_comment=_ALERTS, schema="fraud")
    _create_policy_versions()
    _create_lists()
    _create_rule_tables()
    _create_audit_log()


def downgrade() -> None:
    """Takes it back. Rows that were decided otherwise than their score says stay counted as they were decided."""
    for table in ("audit_log", "rule_failures", "rule_counts", "list_entries", "lists", "list_changes"):
        op.drop_table(table, schema="fraud")
    op.execute("DROP FUNCTION fraud.note_list_change()")
    op.drop_table("policy_versions", schema="fraud")
    op.create_table_comment("fraud_alerts", _ALERTS, existing_comment=_ALERTS_NOW, schema="fraud")
    _comment_on_is_fraud(_IS_FRAUD)
    for table in reversed(_DECIDED):
        for name in ("review_probability", "matched_rules", "decision", "policy_version"):
            op.drop_column(table, name, schema="fraud")


def _comment_on_is_fraud(comment: str) -> None:
    op.alter_column("scored_transactions", "is_fraud", schema="fraud", comment=comment)


def _add_decision(table: str) -> None:
    columns: tuple[sa.Column[Any], ...] = (
        sa.Column(
            "policy_version",
            sa.Integer(),
            comment="null: there was no policy, and the model's threshold decided",
        ),
        sa.Column("decision", sa.Text(), comment="allow, review or block; null: from before there were decisions"),
        sa.Column(
            "matched_rules",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'::text[]"),
            nullable=False,
            comment="the live rules that matched, also those that others outweighed",
        ),
        sa.Column(
            "review_probability",
            sa.Double(),
            comment="of what nothing flagged and chance sent to review: with which probability; else null",
        ),
    )
    for column in columns:
        op.add_column(table, column, schema="fraud")
    op.execute(
        f"ALTER TABLE fraud.{table} ADD CONSTRAINT {table}_decision_check "
        "CHECK (decision IN ('allow', 'review', 'block')) NOT VALID"
    )


def _create_policy_versions() -> None:
    op.create_table(
        "policy_versions",
        sa.Column("policy_version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("approver", sa.Text(), comment="null when none was needed"),
        sa.Column("approved_at", _TIME, comment="null: it waits for approval; the newest approved version is at work"),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("rolled_back_to", sa.Integer(), comment="the version whose document this one repeats"),
        sa.Column(
            "document",
            postgresql.JSONB(),
            nullable=False,
            comment="thresholds, rules, random review, approvals needed",
        ),
        sa.PrimaryKeyConstraint("policy_version", name=op.f("policy_versions_pkey")),
        schema="fraud",
        comment="Immutable snapshots of the policy",
    )


def _create_lists() -> None:
    op.create_table(
        "lists",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('customer', 'device', 'card', 'address_cell', 'email_hash', 'ip_country')",
            name=op.f("lists_kind_check"),
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("lists_pkey")),
        schema="fraud",
        comment="Lists that rules name",
    )
    op.create_table(
        "list_entries",
        sa.Column("entry_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("list_name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", _TIME, comment="null: never"),
        sa.Column("removed_by", sa.Text()),
        sa.Column("removed_at", _TIME, comment="null: it wasn't; one that was stays, for looking back"),
        sa.ForeignKeyConstraint(["list_name"], ["fraud.lists.name"], name=op.f("list_entries_list_name_fkey")),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("list_entries_pkey")),
        schema="fraud",
        comment="Entries of lists: at work while neither removed nor expired",
    )
    op.create_index(
        "list_entries_kept_idx",
        "list_entries",
        ["list_name", "value"],
        schema="fraud",
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "list_changes",
        sa.Column("one", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="the transaction that changed an entry last"),
        sa.CheckConstraint("one", name=op.f("list_changes_one_check")),
        sa.PrimaryKeyConstraint("one", name=op.f("list_changes_pkey")),
        schema="fraud",
        comment="One row, written by a trigger of list_entries; the stream re-reads the lists when it changes",
    )
    op.execute(_NOTE_CHANGE)
    op.execute(_TRIGGER)


def _create_rule_tables() -> None:
    op.create_table(
        "rule_counts",
        sa.Column("window_start", _TIME, nullable=False, comment="start of an hour of event time"),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="shadow or live"),
        sa.Column("matched", sa.BigInteger(), nullable=False),
        sa.Column(
            "changed",
            sa.BigInteger(),
            nullable=False,
            comment="of these: decided otherwise than without the rule",
        ),
        sa.Column("amount", sa.Numeric(), nullable=False, comment="of the matched, in the shop currency"),
        sa.PrimaryKeyConstraint("window_start", "rule", "state", name=op.f("rule_counts_pkey")),
        schema="fraud",
        comment="Transactions that a rule matched; of a shadow rule, changed says what it would do",
    )
    op.create_table(
        "rule_failures",
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("condition", sa.Text(), nullable=False, comment="it is off while its condition is this one"),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("failed_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("rule", name=op.f("rule_failures_pkey")),
        schema="fraud",
        comment="Rules that the stream switched off, since they failed",
    )


def _create_audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("audit_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("before", postgresql.JSONB()),
        sa.Column("after", postgresql.JSONB()),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("audit_log_pkey")),
        schema="fraud",
        comment="Who changed what: nobody changes or deletes a row",
    )
    for column in ("at", "subject"):
        op.create_index(op.f(f"audit_log_{column}_idx"), "audit_log", [column], schema="fraud")
