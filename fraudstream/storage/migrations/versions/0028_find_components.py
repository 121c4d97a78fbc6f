"""Find components: how many customers an entity ties together, and how many known frauds are theirs."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies it. The next refresh fills the columns."""
    op.add_column(
        "entity_risk",
        sa.Column(
            "component_customers",
            sa.Integer(),
            comment="customers whom shared devices, cards and addresses tie to this one's, them included; "
            "null: it ties none",
        ),
        schema="fraud",
    )
    op.add_column(
        "entity_risk",
        sa.Column(
            "component_frauds", sa.Integer(), comment="transactions of these customers that are labelled as fraud"
        ),
        schema="fraud",
    )


def downgrade() -> None:
    """Takes it back."""
    for column in ("component_frauds", "component_customers"):
        op.drop_column("entity_risk", column, schema="fraud")
