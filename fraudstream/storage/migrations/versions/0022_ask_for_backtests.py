"""Let the desk ask for backtests: a table of what was asked, and of what was found."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Applies it."""
    op.create_table(
        "backtests",
        sa.Column("backtest_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("condition", sa.Text(), nullable=False, comment="as it was when it was asked"),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False, comment="the newest days of the archive"),
        sa.Column("begun_at", _TIME, comment="null: it waits"),
        sa.Column("ended_at", _TIME, comment="null: it waits, or is under way"),
        sa.Column("report", postgresql.JSONB(), comment="null: it hasn't ended, or failed"),
        sa.Column("error", sa.Text(), comment="why it failed; null: it didn't"),
        sa.CheckConstraint("days BETWEEN 1 AND 3660", name=op.f("backtests_days_check")),
        sa.PrimaryKeyConstraint("backtest_id", name=op.f("backtests_pkey")),
        schema="fraud",
        comment="Rules to try on past transactions, as the desk asks for it, and what was found",
    )
    op.create_index(
        "backtests_waiting_idx",
        "backtests",
        ["backtest_id"],
        schema="fraud",
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(op.f("backtests_rule_idx"), "backtests", ["rule"], schema="fraud")


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("backtests", schema="fraud")
