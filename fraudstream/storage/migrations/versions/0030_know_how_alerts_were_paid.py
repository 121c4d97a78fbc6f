"""Know how alerts were paid: what dashboards filter by stands in the alert, and an index has what was flagged.

The alerts that are there get it from their transactions; the index reads these once. A running stream's batch waits
meanwhile.
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_FILL = """
UPDATE fraud.fraud_alerts a SET payment_method = t.payment_method
FROM fraud.scored_transactions t WHERE t.transaction_id = a.transaction_id AND t.payment_method IS NOT NULL
"""
_FLAGGED = "coalesce(decision <> 'allow' AND review_probability IS NULL, is_fraud)"
_INCLUDED = [
    "shop",
    "shipping_country",
    "shipping_city",
    "shipping_latitude",
    "shipping_longitude",
    "payment_method",
    "decision",
    "is_fraud",
    "amount",
    "exchange_rate",
]
#: An erasure keeps of an alert what it keeps of its transaction.
_KEPT, _KEPT_NOW = "'matched_rules', 'review_probability']", "'matched_rules', 'review_probability', 'payment_method']"


def upgrade() -> None:
    """Applies it."""
    op.add_column("fraud_alerts", sa.Column("payment_method", sa.Text()), schema="fraud")
    op.execute(_FILL)
    op.create_index(
        "scored_transactions_flagged_idx",
        "scored_transactions",
        ["event_time"],
        schema="fraud",
        postgresql_where=sa.text(_FLAGGED),
        postgresql_include=_INCLUDED,
    )
    op.execute(_in_function(_KEPT, _KEPT_NOW))


def downgrade() -> None:
    """Takes it back."""
    op.execute(_in_function(_KEPT_NOW, _KEPT))
    op.drop_index("scored_transactions_flagged_idx", "scored_transactions", schema="fraud")
    op.drop_column("fraud_alerts", "payment_method", schema="fraud")


def _in_function(old: str, new: str) -> str:
    """SQL: replaces a part of the function that erases a customer."""
    quoted = (part.replace("'", "''") for part in (old, new))
    return (
        "DO $do$ BEGIN EXECUTE replace(pg_get_functiondef('fraud.erase_customer(uuid, text, text[])'::regprocedure), "
        + ", ".join(f"'{part}'" for part in quoted)
        + "); END $do$"
    )
