"""Which snapshot of all profiles a checkpoint begins with.

A column without a default: no row is read or written, and it takes no longer on a filled table.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies it."""
    op.add_column(
        "stream_queries",
        sa.Column(
            "snapshot",
            sa.Text(),
            nullable=True,
            comment="the profile snapshot that its checkpoint begins with; null: with no profile",
        ),
        schema="fraud",
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_column("stream_queries", "snapshot", schema="fraud")
