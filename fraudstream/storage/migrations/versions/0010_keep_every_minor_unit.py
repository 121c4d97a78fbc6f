"""Keep every minor unit: money with as many digits after the point as its currency has, such as KWD's three.

From `numeric(14, 2)` to `numeric` no row is read or written, so that it takes no longer on a filled table.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("products", "list_price"),
    ("scored_transactions", "amount"),
    ("scored_transactions", "promo_amount"),
    ("scored_transactions", "shipping_fee"),
    ("fraud_alerts", "amount"),
)
_HUNDREDTHS, _ANY = sa.Numeric(14, 2), sa.Numeric()


def upgrade() -> None:
    """Applies it."""
    for table, column in _COLUMNS:
        op.alter_column(table, column, existing_type=_HUNDREDTHS, type_=_ANY, existing_nullable=False, schema="fraud")


def downgrade() -> None:
    """Takes it back."""
    for table, column in _COLUMNS:
        op.alter_column(table, column, existing_type=_ANY, type_=_HUNDREDTHS, existing_nullable=False, schema="fraud")
