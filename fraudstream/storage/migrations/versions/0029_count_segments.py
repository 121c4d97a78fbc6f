"""Count segments: transactions by shop, country, payment method and decision, for the dashboards' filters.

Filled from the rows that are there, which this reads once; a running stream's batch waits meanwhile. Windows older than
14 days are hours, as retention would make them. A job of the code before wouldn't count: it is replaced, so that its
next commit is refused, and it ends.
"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_FILL = """
INSERT INTO fraud.segment_counts (window_start, shop, shipping_country, payment_method, decision, transactions, flagged,
    amount, flagged_amount, unpriced, flagged_unpriced, seconds)
SELECT date_bin(width, event_time, timestamptz '2000-01-01 00:00:00+00'), shop, coalesce(shipping_country, ''),
    coalesce(payment_method, ''), coalesce(decision, CASE WHEN is_fraud THEN 'review' ELSE 'allow' END), count(*),
    count(*) FILTER (WHERE flag), coalesce(sum(converted), 0), coalesce(sum(converted) FILTER (WHERE flag), 0),
    count(*) FILTER (WHERE exchange_rate IS NULL), count(*) FILTER (WHERE exchange_rate IS NULL AND flag),
    extract(epoch FROM width)
FROM (
    SELECT *, coalesce(decision <> 'allow' AND review_probability IS NULL, is_fraud) AS flag,
        round(amount * exchange_rate, 4) AS converted,
        CASE WHEN event_time < date_trunc('hour', now(), 'UTC') - interval '14 days' THEN interval '1 hour'
            ELSE interval '15 minutes' END AS width
    FROM fraud.scored_transactions
) AS rows
GROUP BY 1, 2, 3, 4, 5, width
"""
_REPLACE_DRIVER = """
UPDATE fraud.stream_queries SET epoch = epoch + 1, driver = 'migration 0029: it needs a job of newer code'
"""
#: An erasure looks for the customer's ids in texts; a rollup has none.
_UNSWEPT, _UNSWEPT_NOW = "'rescored_days'", "'rescored_days', 'segment_counts'"


def upgrade() -> None:
    """Applies it."""
    kept = "empty: the message named none"
    op.create_table(
        "segment_counts",
        sa.Column(
            "window_start", sa.DateTime(timezone=True), nullable=False, comment="start of a window of event time"
        ),
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
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("transactions", "flagged")),
        *(sa.Column(name, sa.Numeric(), nullable=False) for name in ("amount", "flagged_amount")),
        sa.Column("unpriced", sa.BigInteger(), server_default="0", nullable=False, comment="as in fraud_counts"),
        sa.Column("flagged_unpriced", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "seconds",
            sa.Integer(),
            server_default="900",
            nullable=False,
            comment="width of the window; older ones are thinned to minutes, then to hours",
        ),
        sa.PrimaryKeyConstraint(
            "window_start",
            "shop",
            "shipping_country",
            "payment_method",
            "decision",
            name=op.f("segment_counts_pkey"),
        ),
        schema="fraud",
        comment="What fraud_counts has, per quarter of an hour and segment of the transactions",
    )
    op.create_index(
        "segment_counts_quarters_idx",
        "segment_counts",
        ["window_start"],
        schema="fraud",
        postgresql_where=sa.text("seconds = 900"),
    )
    op.execute(_REPLACE_DRIVER)  # first: whoever commits waits for it
    op.execute(_FILL)
    op.execute(_in_function(_UNSWEPT, _UNSWEPT_NOW))


def downgrade() -> None:
    """Takes it back."""
    op.execute(_in_function(_UNSWEPT_NOW, _UNSWEPT))
    op.drop_table("segment_counts", schema="fraud")


def _in_function(old: str, new: str) -> str:
    """SQL: replaces a part of the function that erases mentions."""
    quoted = (part.replace("'", "''") for part in (old, new))
    return (
        "DO $do$ BEGIN EXECUTE replace(pg_get_functiondef('fraud.erase_mentions(text[], text)'::regprocedure), "
        + ", ".join(f"'{part}'" for part in quoted)
        + "); END $do$"
    )
