"""Take shops that lack things: what a transaction may lack is nullable, and rows and rollups know their shop.

No table is written anew. A rollup's key gets one more column, for which its index is built while its writers wait: of
`product_sales`, the largest, that is a few seconds for each million of windows.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_TRANSACTION: dict[str, sa.types.TypeEngine[Any]] = {
    "session_id": sa.Text(),
    "items": postgresql.JSONB(),
    "payment_method": sa.Text(),
    "promo_amount": sa.Numeric(),
    "shipping_fee": sa.Numeric(),
    "shipping_city": sa.Text(),
    "shipping_country": sa.Text(),
    "shipping_latitude": sa.Double(),
    "shipping_longitude": sa.Double(),
    "ip_country": sa.Text(),
    "device_id": sa.Text(),
}
_NULLABLE = {
    "scored_transactions": tuple(_TRANSACTION),
    "fraud_alerts": ("shipping_city", "shipping_country"),
    "past_transactions": ("device_id", "shipping_latitude", "shipping_longitude", "items"),
}
_SHOP = "which of several shops; FRAUDSTREAM_SHOP__NAME where the message named none"
_KEYS = {
    "fraud_counts": ("window_start",),
    "product_sales": ("window_start", "product_id"),
    "fraud_locations": ("window_start", "shipping_country", "shipping_city"),
}
_ROWS = "One row a transaction"
_ROWS_NOW = "One row a transaction; what its message lacked is null"


def upgrade() -> None:
    """Applies it."""
    _set_nullable(True)
    for table in ("scored_transactions", "fraud_alerts", *_KEYS):
        shop = sa.Column("shop", sa.Text(), server_default="main", nullable=False, comment=_SHOP)
        op.add_column(table, shop, schema="fraud")
    for table, columns in _KEYS.items():
        _key(table, (*columns, "shop"))
    op.create_table_comment("scored_transactions", _ROWS_NOW, existing_comment=_ROWS, schema="fraud")


def downgrade() -> None:
    """Takes it back. Fails where a row lacks something, or where two shops have a window in common."""
    op.create_table_comment("scored_transactions", _ROWS, existing_comment=_ROWS_NOW, schema="fraud")
    for table, columns in _KEYS.items():
        _key(table, columns)
    for table in ("scored_transactions", "fraud_alerts", *_KEYS):
        op.drop_column(table, "shop", schema="fraud")
    _set_nullable(False)


def _set_nullable(nullable: bool) -> None:
    for table, columns in _NULLABLE.items():
        for column in columns:
            kind = _TRANSACTION[column]
            op.alter_column(table, column, existing_type=kind, nullable=nullable, schema="fraud")


def _key(table: str, columns: tuple[str, ...]) -> None:
    op.drop_constraint(f"{table}_pkey", table, type_="primary", schema="fraud")
    op.create_primary_key(f"{table}_pkey", table, list(columns), schema="fraud")
