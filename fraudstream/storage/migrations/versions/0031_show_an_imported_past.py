"""Show an imported past: what the desk compares a purchase with is kept of imported transactions, too.

Those that are there have none of it, and leave with the window of entity risk; `history import --replace` reads them
again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_OF_TEXT = ("currency", "payment_method", "shipping_city", "shipping_country")
_NEW = "Imported transactions, for as long as they lie in the window of entity risk; the desk shows them, too"
_OLD = "What entity risk needs of imported transactions, for as long as they lie in its window"


def upgrade() -> None:
    """Applies it."""
    told = "null, as all below: imported before it was kept"
    op.add_column("past_transactions", sa.Column("amount", sa.Numeric(), comment=told), schema="fraud")
    for name in _OF_TEXT:
        op.add_column("past_transactions", sa.Column(name, sa.Text()), schema="fraud")
    told = "of event_time: units of the shop currency for one of currency; null: none known"
    op.add_column("past_transactions", sa.Column("exchange_rate", sa.Numeric(), comment=told), schema="fraud")
    columns = ["customer_id", "event_time"]
    op.create_index("past_transactions_customer_id_event_time_idx", "past_transactions", columns, schema="fraud")
    op.create_table_comment("past_transactions", _NEW, existing_comment=_OLD, schema="fraud")


def downgrade() -> None:
    """Takes it back."""
    op.create_table_comment("past_transactions", _OLD, existing_comment=_NEW, schema="fraud")
    op.drop_index("past_transactions_customer_id_event_time_idx", "past_transactions", schema="fraud")
    for name in ("exchange_rate", *reversed(_OF_TEXT), "amount"):
        op.drop_column("past_transactions", name, schema="fraud")
