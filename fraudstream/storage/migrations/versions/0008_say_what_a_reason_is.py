"""Say what a dead letter's reason is: a comment that names no module, since modules move."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BEFORE = "a code of fraudstream.contracts.DeadLetterReason"
AFTER = "a stable code: why it was refused"


def upgrade() -> None:
    """Applies it."""
    _comment(BEFORE, AFTER)


def downgrade() -> None:
    """Takes it back."""
    _comment(AFTER, BEFORE)


def _comment(before: str, after: str) -> None:
    op.alter_column(
        "dead_letters",
        "reason",
        existing_type=sa.Text(),
        existing_nullable=False,
        existing_comment=before,
        comment=after,
        schema="fraud",
    )
