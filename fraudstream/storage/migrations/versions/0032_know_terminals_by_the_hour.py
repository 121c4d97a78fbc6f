"""Know terminals by the hour of transactions and labels, no longer by the day, and the amounts paid there.

What was kept by the day is dropped: the next refresh of entity risk, within its period, keeps it by the hour. Until
then terminals' features aren't known. An imported past has no amounts until it is imported anew: its frauds count as
ones of an ordinary amount.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

_SINCE_WHEN = "over 60 days as of the last refresh of entity_risk"


def upgrade() -> None:
    """Applies it."""
    op.drop_table("terminal_frauds", schema="fraud")
    op.drop_table("terminal_days", schema="fraud")
    priced = sa.Column("priced", sa.Integer(), nullable=False, comment="of these, with an amount in the shop currency")
    paid = sa.Column("cents", sa.BigInteger(), nullable=False, comment="their amounts, hundredths of the shop currency")
    of_each = sa.Column(
        "cents", sa.BigInteger(), nullable=False, comment="of each, hundredths of the shop currency; 0: not known"
    )
    _create("hour", sa.TIMESTAMP(timezone=True), "of event_time: its beginning", [priced, paid], [of_each])


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("terminal_frauds", schema="fraud")
    op.drop_table("terminal_hours", schema="fraud")
    _create("day", sa.Date(), "of event_time, UTC", [], [])


def _create(
    grain: str,
    moment: sa.types.TypeEngine[Any],
    told: str,
    of_transactions: list[sa.Column[int]],
    of_frauds: list[sa.Column[int]],
) -> None:
    """Both tables by this grain, `hour` or `day`, with what is kept of transactions and of frauds besides."""
    counted = f"terminal_{grain}s"
    op.create_table(
        counted,
        sa.Column("terminal_id", sa.Text(), nullable=False),
        sa.Column(grain, moment, nullable=False, comment=told),
        sa.Column("transactions", sa.Integer(), nullable=False),
        *of_transactions,
        sa.PrimaryKeyConstraint("terminal_id", grain, name=op.f(f"{counted}_pkey")),
        schema="fraud",
        comment=f"Transactions {'an' if grain == 'hour' else 'a'} {grain} of terminals with a fraud, {_SINCE_WHEN}",
    )
    alike = ("terminal_id", grain, "known_from", "known_until", *(column.name for column in of_frauds))
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
        *of_frauds,
        sa.Column("frauds", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(*alike, name=op.f("terminal_frauds_pkey")),
        schema="fraud",
        comment=f"Frauds at terminals by when they were known, {_SINCE_WHEN}",
    )
