"""Retire old rows: totals of what is deleted, ids of deleted transactions, and rollups of more than one width.

It rewrites no table, but builds two indexes on `product_sales` and one on `flagged_sessions`, whose writers wait
meanwhile.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

#: Seconds of the windows that the stream writes.
WIDTHS = {"fraud_counts": 10, "product_sales": 30, "fraud_locations": 60}
WIDTH = "width of the window; older ones are thinned to minutes, then to hours"
#: Tables from which rows go day by day: vacuumed when a fiftieth is dead, not a fifth.
SHRINKING = (
    *("scored_transactions", "fraud_alerts", "transaction_labels", "dead_letters", "stream_batches", "product_sales"),
)
BEFORE = {
    "fraud_counts": "start of a 10-s window of event time",
    "product_sales": "start of a 30-s window of event time",
    "fraud_locations": "start of a 60-s window of event time",
}
AFTER = "start of a window of event time"


def upgrade() -> None:
    """Applies it."""
    op.create_table(
        "retired_totals",
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("figure", sa.Text(), nullable=False, comment="rows, or a column that was added up"),
        sa.Column("total", sa.Numeric(), nullable=False),
        sa.PrimaryKeyConstraint("table_name", "figure", name=op.f("retired_totals_pkey")),
        schema="fraud",
        comment="Sums of the rows that retention deleted: table and this are the sums of all time",
    )
    op.create_table(
        "retired_transactions",
        sa.Column("id_hash", sa.Uuid(), nullable=False, comment="first half of the transaction id's SHA-256"),
        sa.Column("content_hash", sa.BigInteger(), comment="as in scored_transactions"),
        sa.Column("kafka_partition", sa.Integer(), nullable=False),
        sa.Column("kafka_offset", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id_hash", name=op.f("retired_transactions_pkey")),
        schema="fraud",
        comment="Transactions that retention deleted, so that a repeat of one is still known",
    )
    op.create_index(op.f("retired_transactions_retired_at_idx"), "retired_transactions", ["retired_at"], schema="fraud")
    op.create_index(op.f("flagged_sessions_flagged_at_idx"), "flagged_sessions", ["flagged_at"], schema="fraud")
    op.add_column(
        "flagged_sessions",
        sa.Column(
            "fraud_retired",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="retention deleted a fraud of it: no label clears it",
        ),
        schema="fraud",
    )
    op.create_table(
        "rollup_horizons",
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("thinned_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "deleted_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="a whole hour; older windows may be gone",
        ),
        sa.PrimaryKeyConstraint("table_name", name=op.f("rollup_horizons_pkey")),
        schema="fraud",
        comment="Until when each rollup's windows are no longer those that the stream writes",
    )
    for table, seconds in WIDTHS.items():
        op.add_column(
            table,
            sa.Column("seconds", sa.Integer(), server_default=str(seconds), nullable=False, comment=WIDTH),
            schema="fraud",
        )
        _comment(table, BEFORE[table], AFTER)
    for name, condition in (("fine", "seconds < 60"), ("minutes", "seconds = 60")):
        op.create_index(
            f"product_sales_{name}_idx",
            "product_sales",
            ["window_start"],
            schema="fraud",
            postgresql_where=sa.text(condition),
        )
    for table in SHRINKING:
        op.execute(f"ALTER TABLE fraud.{table} SET (autovacuum_vacuum_scale_factor = 0.02)")


def downgrade() -> None:
    """Takes it back. Sums of deleted rows, and windows' widths, are lost."""
    for table in SHRINKING:
        op.execute(f"ALTER TABLE fraud.{table} RESET (autovacuum_vacuum_scale_factor)")
    for name in ("fine", "minutes"):
        op.drop_index(f"product_sales_{name}_idx", "product_sales", schema="fraud")
    for table in WIDTHS:
        _comment(table, AFTER, BEFORE[table])
        op.drop_column(table, "seconds", schema="fraud")
    op.drop_column("flagged_sessions", "fraud_retired", schema="fraud")
    op.drop_index(op.f("flagged_sessions_flagged_at_idx"), "flagged_sessions", schema="fraud")
    for table in ("rollup_horizons", "retired_transactions", "retired_totals"):
        op.drop_table(table, schema="fraud")


def _comment(table: str, before: str, after: str) -> None:
    op.alter_column(
        table,
        "window_start",
        existing_type=sa.DateTime(timezone=True),
        existing_nullable=False,
        existing_comment=before,
        comment=after,
        schema="fraud",
    )
