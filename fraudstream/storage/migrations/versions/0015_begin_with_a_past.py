"""Begin with a past: which history was imported, and what entity risk counts of it.

Three new tables and a comment: no row is read or written, and it takes no longer on a filled database.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_TOTALS = "Sums of the rows that retention deleted: table and this are the sums of all time"
_TOTALS_NOW = "Sums of the rows that retention deleted, less those of an imported past: with the table's, the stream's"


def upgrade() -> None:
    """Applies it."""
    op.create_table(
        "history_imports",
        sa.Column(
            "fingerprint",
            sa.Text(),
            nullable=False,
            comment="SHA-256 of its files: the same import isn't done twice",
        ),
        sa.Column("folder", sa.Text(), nullable=False, comment="where it was read"),
        sa.Column("snapshot", sa.Text(), nullable=False, comment="the profile snapshot that was made of it"),
        sa.Column("first_event", _TIME, nullable=False),
        sa.Column("last_event", _TIME, nullable=False),
        sa.Column("customers", sa.BigInteger(), nullable=False, comment="with a profile"),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("browse_events", "transactions", "labels")),
        sa.Column(
            "rollups_until",
            _TIME,
            nullable=False,
            comment="a whole hour: windows before are the past's, and no row of the stream's was in them",
        ),
        sa.Column("imported_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("history_imports_pkey")),
        schema="fraud",
        comment="The past that the platform began with: one row, or none",
    )
    op.create_table(
        "past_transactions",
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("event_time", _TIME, nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("card_token", sa.Text(), nullable=True),
        sa.Column("shipping_latitude", sa.Double(), nullable=False),
        sa.Column("shipping_longitude", sa.Double(), nullable=False),
        sa.Column("items", postgresql.JSONB(), nullable=False, comment="[{product_id}]"),
        sa.PrimaryKeyConstraint("transaction_id", name=op.f("past_transactions_pkey")),
        schema="fraud",
        comment="What entity risk needs of imported transactions, for as long as they lie in its window",
    )
    op.create_index(op.f("past_transactions_event_time_idx"), "past_transactions", ["event_time"], schema="fraud")
    op.create_table(
        "past_labels",
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="in order of their time, and of arrival"),
        sa.Column("is_fraud", sa.Boolean(), nullable=False),
        sa.Column("labelled_at", _TIME, nullable=False, comment="may be yet to come"),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["fraud.past_transactions.transaction_id"],
            name=op.f("past_labels_transaction_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("transaction_id", "number", name=op.f("past_labels_pkey")),
        schema="fraud",
        comment="Labels of imported transactions",
    )
    op.create_table_comment("retired_totals", _TOTALS_NOW, existing_comment=_TOTALS, schema="fraud")


def downgrade() -> None:
    """Takes it back. The rollups of the past stay, as if they were the stream's."""
    op.create_table_comment("retired_totals", _TOTALS, existing_comment=_TOTALS_NOW, schema="fraud")
    for table in ("past_labels", "past_transactions", "history_imports"):
        op.drop_table(table, schema="fraud")
