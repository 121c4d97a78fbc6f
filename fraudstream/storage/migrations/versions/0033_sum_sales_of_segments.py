"""Sum sales of segments: by product, shop, country, payment method and decision, for the dashboards' filters.

Filled from the rows that are there, which this reads once; a running stream's batch waits meanwhile. Windows of the
days before yesterday are days, as retention would make them. A job of the code before wouldn't sum: it is replaced, so
that its next commit is refused, and it ends.
"""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_FILL = """
INSERT INTO fraud.segment_sales (window_start, product_id, shop, shipping_country, payment_method, decision, units,
    revenue, seconds)
SELECT date_bin(width, event_time, timestamptz '2000-01-01 00:00:00+00'), item.product_id, shop,
    coalesce(shipping_country, ''), coalesce(payment_method, ''),
    coalesce(decision, CASE WHEN is_fraud THEN 'review' ELSE 'allow' END), sum(item.quantity),
    coalesce(sum(item.quantity * round(item.unit_price * exchange_rate, 4)), 0), extract(epoch FROM width)
FROM (
    SELECT *, CASE WHEN event_time < thinned_until THEN interval '1 day' ELSE interval '1 hour' END AS width
    FROM fraud.scored_transactions, fraud.rollup_horizons WHERE table_name = 'segment_sales' AND counted_in_sales
) AS rows, jsonb_to_recordset(items) AS item (product_id text, quantity bigint, unit_price numeric)
GROUP BY 1, 2, 3, 4, 5, 6, width
"""
_HORIZON = """
INSERT INTO fraud.rollup_horizons (table_name, thinned_until)
SELECT 'segment_sales', date_trunc('day', now() - interval '48 hours', 'UTC')
WHERE EXISTS (SELECT FROM fraud.scored_transactions)
"""
_FORGET_HORIZON = "DELETE FROM fraud.rollup_horizons WHERE table_name = 'segment_sales'"
_REPLACE_DRIVER = """
UPDATE fraud.stream_queries SET epoch = epoch + 1, driver = 'migration 0033: it needs a job of newer code'
"""
#: An erasure looks for the customer's ids in texts; a rollup has none.
_UNSWEPT, _UNSWEPT_NOW = "'segment_counts'", "'segment_counts', 'segment_sales'"
_OF_DAYS = sa.text("seconds = 86400")


def upgrade() -> None:
    """Applies it."""
    kept = "empty: the message named none"
    op.create_table(
        "segment_sales",
        sa.Column(
            "window_start", sa.DateTime(timezone=True), nullable=False, comment="start of a window of event time"
        ),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column(
            "shop",
            sa.Text(),
            server_default="main",
            nullable=False,
            comment="which of several shops; FRAUDSTREAM_SHOP__NAME where the message named none",
        ),
        sa.Column("shipping_country", sa.Text(), nullable=False, comment=kept),
        sa.Column("payment_method", sa.Text(), nullable=False, comment=kept),
        sa.Column(
            "decision",
            sa.Text(),
            nullable=False,
            comment="of rows from before there were decisions: by the model's flag",
        ),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("revenue", sa.Numeric(), nullable=False),
        sa.Column(
            "seconds",
            sa.Integer(),
            server_default="3600",
            nullable=False,
            comment="width of the window; older ones are thinned to days",
        ),
        sa.PrimaryKeyConstraint(
            "window_start",
            "product_id",
            "shop",
            "shipping_country",
            "payment_method",
            "decision",
            name=op.f("segment_sales_pkey"),
        ),
        schema="fraud",
        comment="What product_sales has, per hour and segment of the transactions",
    )
    op.execute(_REPLACE_DRIVER)  # first: whoever commits waits for it
    op.execute(_HORIZON)
    op.execute(_FILL)
    for name, columns, of in (
        ("hours", ["window_start", "shipping_country", "payment_method"], sa.text("seconds = 3600")),
        ("countries", ["shipping_country", "window_start"], _OF_DAYS),
        ("methods", ["payment_method", "window_start"], _OF_DAYS),
        ("cleared", ["decision", "window_start"], sa.text("decision <> 'allow'")),
    ):
        op.create_index(f"segment_sales_{name}_idx", "segment_sales", columns, schema="fraud", postgresql_where=of)
    op.execute(_in_function(_UNSWEPT, _UNSWEPT_NOW))


def downgrade() -> None:
    """Takes it back."""
    op.execute(_in_function(_UNSWEPT_NOW, _UNSWEPT))
    op.execute(_FORGET_HORIZON)
    op.drop_table("segment_sales", schema="fraud")


def _in_function(old: str, new: str) -> str:
    """SQL: replaces a part of the function that erases mentions."""
    quoted = (part.replace("'", "''") for part in (old, new))
    return (
        "DO $do$ BEGIN EXECUTE replace(pg_get_functiondef('fraud.erase_mentions(text[], text)'::regprocedure), "
        + ", ".join(f"'{part}'" for part in quoted)
        + "); END $do$"
    )
