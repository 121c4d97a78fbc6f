"""Open the desk: claims, verdicts and notes of analysts, and the indexes by which they look around.

Three new tables, and indexes over transactions and alerts, each of which reads its table once; a running stream's batch
waits meanwhile, about a second for a million transactions.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_LOSS = "COALESCE(fraud_score * (amount * exchange_rate)::double precision, 0::double precision)"
_OPEN = sa.text("status = 'open'")


def upgrade() -> None:
    """Applies it."""
    _create_claims()
    _create_verdicts()
    _create_notes()
    for name, columns, where in (
        ("device_id", ["device_id"], None),
        ("card_token", ["card_token"], sa.text("card_token IS NOT NULL")),
        ("shipping_latitude_shipping_longitude", ["shipping_latitude", "shipping_longitude"], None),
    ):
        op.create_index(
            f"scored_transactions_{name}_idx", "scored_transactions", columns, schema="fraud", postgresql_where=where
        )
    op.create_index("fraud_alerts_customer_id_idx", "fraud_alerts", ["customer_id"], schema="fraud")
    for name, first in (("loss", sa.text(_LOSS)), ("age", "event_time")):
        op.create_index(
            f"fraud_alerts_{name}_idx",
            "fraud_alerts",
            [first, "transaction_id"],
            schema="fraud",
            postgresql_where=_OPEN,
        )


def _of_transaction(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["transaction_id"],
        ["fraud.scored_transactions.transaction_id"],
        name=op.f(f"{table}_transaction_id_fkey"),
        ondelete="CASCADE",
    )


def _create_claims() -> None:
    op.create_table(
        "alert_claims",
        sa.Column("claim_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("claimed_by", sa.Text(), nullable=False),
        sa.Column("claimed_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "expires_at",
            _TIME,
            server_default=sa.text("now() + interval '15 minutes'"),
            nullable=False,
            comment="from then on somebody else may claim it",
        ),
        sa.Column("released_at", _TIME, comment="by a verdict, by hand, or by the next claim"),
        _of_transaction("alert_claims"),
        sa.PrimaryKeyConstraint("claim_id", name=op.f("alert_claims_pkey")),
        schema="fraud",
        comment="Who works on a transaction: one at a time, and who did",
    )
    op.create_index(
        "alert_claims_held_idx",
        "alert_claims",
        ["transaction_id"],
        unique=True,
        schema="fraud",
        postgresql_where=sa.text("released_at IS NULL"),
    )
    op.create_index(op.f("alert_claims_transaction_id_idx"), "alert_claims", ["transaction_id"], schema="fraud")


def _create_verdicts() -> None:
    op.create_table(
        "analyst_verdicts",
        sa.Column("verdict_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column(
            "revision", sa.Integer(), nullable=False, comment="1, 2, …: each says that its analyst knew the one before"
        ),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "publish_after",
            _TIME,
            server_default=sa.text("now() + interval '1 minute'"),
            nullable=False,
            comment="until then it can be undone",
        ),
        sa.Column("undone_at", _TIME),
        sa.Column("published_at", _TIME, comment="when Kafka acknowledged its label; null of an unsure one"),
        _of_transaction("analyst_verdicts"),
        sa.CheckConstraint("verdict IN ('fraud', 'honest', 'unsure')", name=op.f("analyst_verdicts_verdict_check")),
        sa.CheckConstraint("undone_at IS NULL OR published_at IS NULL", name=op.f("analyst_verdicts_undone_check")),
        sa.PrimaryKeyConstraint("verdict_id", name=op.f("analyst_verdicts_pkey")),
        sa.UniqueConstraint("transaction_id", "revision", name=op.f("analyst_verdicts_transaction_id_revision_key")),
        schema="fraud",
        comment="Analysts' verdicts; those that stand are sent as labels",
    )
    op.create_index(
        "analyst_verdicts_outbox_idx",
        "analyst_verdicts",
        ["publish_after"],
        schema="fraud",
        postgresql_where=sa.text("published_at IS NULL AND undone_at IS NULL AND verdict <> 'unsure'"),
    )
    op.create_index(
        op.f("analyst_verdicts_decided_by_decided_at_idx"),
        "analyst_verdicts",
        ["decided_by", "decided_at"],
        schema="fraud",
    )


def _create_notes() -> None:
    op.create_table(
        "alert_notes",
        sa.Column("note_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("written_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        _of_transaction("alert_notes"),
        sa.CheckConstraint("char_length(note) BETWEEN 1 AND 2000", name=op.f("alert_notes_note_check")),
        sa.PrimaryKeyConstraint("note_id", name=op.f("alert_notes_pkey")),
        schema="fraud",
        comment="What analysts write about a transaction",
    )
    op.create_index(op.f("alert_notes_transaction_id_idx"), "alert_notes", ["transaction_id"], schema="fraud")


def downgrade() -> None:
    """Takes it back."""
    for name in ("age", "loss", "customer_id"):
        op.drop_index(f"fraud_alerts_{name}_idx", "fraud_alerts", schema="fraud")
    for name in ("shipping_latitude_shipping_longitude", "card_token", "device_id"):
        op.drop_index(f"scored_transactions_{name}_idx", "scored_transactions", schema="fraud")
    for table in ("alert_notes", "analyst_verdicts", "alert_claims"):
        op.drop_table(table, schema="fraud")
