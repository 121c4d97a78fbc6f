"""Convert amounts into the shop currency: exchange rates, the rate of each row, and what has none.

Until now all amounts were taken for the shop currency, so that rows and rollups of before have the rate 1. The columns
have constant defaults: no row is read or written, and it takes no longer on a filled table.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_RATE = "of event_time: units of the shop currency for one of currency; null: none known"
_COUNTS = (
    ("unpriced", "among the transactions: without an exchange rate, and not in the amounts"),
    ("flagged_unpriced", "the same among the flagged"),
)


def upgrade() -> None:
    """Applies it."""
    op.create_table(
        "currency_rates",
        sa.Column("currency", sa.Text(), nullable=False, comment="ISO 4217"),
        sa.Column("valid_from", sa.Date(), nullable=False, comment="from midnight, UTC, until the next one"),
        sa.Column("rate", sa.Numeric(), nullable=False, comment="units of the shop currency for one of currency"),
        sa.CheckConstraint("rate > 0", name=op.f("currency_rates_rate_check")),
        sa.PrimaryKeyConstraint("currency", "valid_from", name=op.f("currency_rates_pkey")),
        schema="fraud",
        comment="Exchange rates into the shop currency",
    )
    op.add_column(
        "static_versions",
        sa.Column("currency_rates", sa.Integer(), server_default="0", nullable=False),
        schema="fraud",
    )
    op.add_column(
        "stream_queries",
        sa.Column("shop_currency", sa.Text(), nullable=True, comment="fixed with the tables: of all their sums"),
        schema="fraud",
    )
    for table in ("scored_transactions", "fraud_alerts"):
        rate = sa.Column("exchange_rate", sa.Numeric(), server_default="1", nullable=True, comment=_RATE)
        op.add_column(table, rate, schema="fraud")
    for name, comment in _COUNTS:
        count = sa.Column(name, sa.BigInteger(), server_default="0", nullable=False, comment=comment)
        op.add_column("fraud_counts", count, schema="fraud")


def downgrade() -> None:
    """Takes it back. The rollups keep what was added up."""
    for name, _ in _COUNTS:
        op.drop_column("fraud_counts", name, schema="fraud")
    for table in ("fraud_alerts", "scored_transactions"):
        op.drop_column(table, "exchange_rate", schema="fraud")
    op.drop_column("stream_queries", "shop_currency", schema="fraud")
    op.drop_column("static_versions", "currency_rates", schema="fraud")
    op.drop_table("currency_rates", schema="fraud")
