"""Know terminals by the hour of transactions and labels, no longer by the day.

What was kept by the day is dropped: the next refresh of entity risk, within its period, keeps it by the hour. Until
then terminals' features aren't known.
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_SINCE_WHEN = "over 60 days as of the last refresh of entity_risk"


def upgrade() -> None:
    """Applies it."""
    op.drop_table("terminal_frauds", schema="fraud")
    op.drop_table("terminal_days", schema="fraud")
    _create("hour", sa.TIMESTAMP(timezone=True), "of event_time: its beginning", "an hour")


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("terminal_frauds", schema="fraud")
    op.drop_table("terminal_hours", schema="fraud")
    _create("day", sa.Date(), "of event_time, UTC", "a day")


def _create(grain: str, moment: sa.types.TypeEngine[object], told: str, words: str) -> None:
    """Both tables by this grain: `hour` or `day`."""
    counted = f"terminal_{grain}s"
    op.create_table(
        counted,
        sa.Column("terminal_id", sa.Text(), nullable=False),
        sa.Column(grain, moment, nullable=False, comment=told),
        sa.Column("transactions", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("terminal_id", grain, name=op.f(f"{counted}_pkey")),
        schema="fraud",
        comment=f"Transactions {words} of terminals with a fraud, {_SINCE_WHEN}",
    )
    op.create_table(
        "terminal_frauds",
        sa.Column("terminal_id", sa.Text(), nullable=False),
        sa.Column(grain, moment, nullable=False, comment=told),
        sa.Column("known_from", moment, nullable=False, comment=f"the first {grain} that began with the label"),
        sa.Column(
            "known_until",
            moment,
            nullable=False,
            comment=f"the {grain} that began with another one; 9999-12-31: none yet",
        ),
        sa.Column("frauds", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("terminal_id", grain, "known_from", "known_until", name=op.f("terminal_frauds_pkey")),
        schema="fraud",
        comment=f"Frauds at terminals by when they were known, {_SINCE_WHEN}",
    )
