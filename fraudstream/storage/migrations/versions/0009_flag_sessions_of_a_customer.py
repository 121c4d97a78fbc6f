"""Flag sessions of a customer: an id is unique for a customer, not across customers, and the newest verdict decides.

What was flagged before is judged anew, and sales that were taken back by mistake come back. Looked at are the rows of
the sessions that are flagged now, and no others: none of these is missing. The new index reads the table once; a
running stream's batch waits meanwhile.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_FLAGGED = (
    "Sessions with a flagged or confirmed fraud; their sales don't count",
    ("Sessions with a fraud by the newest verdict; their sales don't count"),
)
_SALES = (
    "Sales of sessions that aren't flagged; retracted when fraud is confirmed later",
    ("Sales of sessions that aren't flagged; taken back, and put back, when the verdict changes"),
)

_JUDGE = """
INSERT INTO fraud.flagged_sessions (customer_id, session_id, flagged_at)
SELECT t.customer_id, t.session_id, min(f.flagged_at)
FROM fraud.flagged_sessions f JOIN fraud.scored_transactions t USING (session_id)
WHERE coalesce((
    SELECT l.is_fraud FROM fraud.transaction_labels l WHERE l.transaction_id = t.transaction_id
    ORDER BY l.labelled_at DESC, l.label_id DESC LIMIT 1
), t.is_fraud)
GROUP BY 1, 2
"""
# The window's batch stays what it was: it tells what is still to be published.
_PUT_BACK = """
WITH back AS (
    UPDATE fraud.scored_transactions t SET counted_in_sales = true
    FROM fraud.flagged_sessions old
    WHERE old.customer_id IS NULL AND old.session_id = t.session_id AND NOT t.counted_in_sales AND NOT EXISTS (
        SELECT FROM fraud.flagged_sessions f WHERE (f.customer_id, f.session_id) = (t.customer_id, t.session_id)
    )
    RETURNING t.batch_id, t.event_time, t.items
)
INSERT INTO fraud.product_sales AS p (window_start, product_id, units, revenue, batch_id)
SELECT date_bin('30 seconds', event_time, timestamptz '2000-01-01 00:00:00+00'), item.product_id, sum(item.quantity),
    sum(item.quantity * round(item.unit_price, 2)), max(back.batch_id)
FROM back, jsonb_to_recordset(items) AS item (product_id text, quantity bigint, unit_price numeric)
GROUP BY 1, 2
ON CONFLICT (window_start, product_id) DO UPDATE
SET units = p.units + excluded.units, revenue = p.revenue + excluded.revenue
"""


def upgrade() -> None:
    """Applies it."""
    op.drop_constraint("flagged_sessions_pkey", "flagged_sessions", schema="fraud")
    op.alter_column(
        "flagged_sessions",
        "session_id",
        existing_type=sa.Text(),
        comment="unique for a customer, not across customers",
        schema="fraud",
    )
    op.add_column("flagged_sessions", sa.Column("customer_id", sa.Text()), schema="fraud")
    op.execute(_JUDGE)
    op.create_index("flagged_sessions_judged_idx", "flagged_sessions", ["customer_id", "session_id"], schema="fraud")
    op.execute("ANALYZE fraud.flagged_sessions")
    op.execute(_PUT_BACK)
    op.execute("DELETE FROM fraud.flagged_sessions WHERE customer_id IS NULL")
    op.drop_index("flagged_sessions_judged_idx", "flagged_sessions", schema="fraud")
    op.create_primary_key("flagged_sessions_pkey", "flagged_sessions", ["customer_id", "session_id"], schema="fraud")
    _index(before=["session_id"], after=["customer_id", "session_id"])
    op.create_table_comment("flagged_sessions", _FLAGGED[1], existing_comment=_FLAGGED[0], schema="fraud")
    op.create_table_comment("product_sales", _SALES[1], existing_comment=_SALES[0], schema="fraud")


def downgrade() -> None:
    """Takes it back; no sale changes."""
    op.drop_constraint("flagged_sessions_pkey", "flagged_sessions", schema="fraud")
    op.execute(
        "DELETE FROM fraud.flagged_sessions f USING fraud.flagged_sessions other "
        "WHERE f.session_id = other.session_id AND f.customer_id > other.customer_id"
    )
    op.drop_column("flagged_sessions", "customer_id", schema="fraud")
    op.create_primary_key("flagged_sessions_pkey", "flagged_sessions", ["session_id"], schema="fraud")
    op.alter_column("flagged_sessions", "session_id", existing_type=sa.Text(), comment=None, schema="fraud")
    _index(before=["customer_id", "session_id"], after=["session_id"])
    op.create_table_comment("flagged_sessions", _FLAGGED[0], existing_comment=_FLAGGED[1], schema="fraud")
    op.create_table_comment("product_sales", _SALES[0], existing_comment=_SALES[1], schema="fraud")


def _index(before: list[str], after: list[str]) -> None:
    op.drop_index(f"scored_transactions_{'_'.join(before)}_idx", "scored_transactions", schema="fraud")
    op.create_index(f"scored_transactions_{'_'.join(after)}_idx", "scored_transactions", after, schema="fraud")
