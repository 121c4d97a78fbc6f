"""Know terminals: where a transaction was paid, and what a refresh of entity risk keeps of that.

No table is written anew. The index of `scored_transactions` holds only what has a terminal: of what is stored already,
nothing; its one reading of the table takes about a second for each million of rows, in which no row is added.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies it."""
    paid = sa.Column("terminal_id", sa.Text(), nullable=True, comment="where it was paid")
    op.add_column("scored_transactions", paid, schema="fraud")
    op.add_column("past_transactions", sa.Column("terminal_id", sa.Text(), nullable=True), schema="fraud")
    op.create_index(
        "scored_transactions_terminal_idx",
        "scored_transactions",
        ["event_time"],
        schema="fraud",
        postgresql_where=sa.text("terminal_id IS NOT NULL"),
    )
    op.create_table(
        "terminal_days",
        sa.Column("terminal_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="of event_time, UTC"),
        sa.Column("transactions", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("terminal_id", "day", name=op.f("terminal_days_pkey")),
        schema="fraud",
        comment="Transactions a day of terminals with a fraud, over 60 days as of the last refresh of entity_risk",
    )
    op.create_table(
        "terminal_frauds",
        sa.Column("terminal_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="of event_time, UTC"),
        sa.Column("known_from", sa.Date(), nullable=False, comment="the first day that began with the label"),
        sa.Column(
            "known_until",
            sa.Date(),
            nullable=False,
            comment="the day that began with another one; 9999-12-31: none yet",
        ),
        sa.Column("frauds", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("terminal_id", "day", "known_from", "known_until", name=op.f("terminal_frauds_pkey")),
        schema="fraud",
        comment="Frauds at terminals by when they were known, over 60 days as of the last refresh of entity_risk",
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("terminal_frauds", schema="fraud")
    op.drop_table("terminal_days", schema="fraud")
    op.drop_index("scored_transactions_terminal_idx", "scored_transactions", schema="fraud")
    op.drop_column("past_transactions", "terminal_id", schema="fraud")
    op.drop_column("scored_transactions", "terminal_id", schema="fraud")
