"""Add entity_risk_versions, and customers to entity_risk."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COMMENT = "Entities with a labelled fraud or with several customers, over 30 days as of the last refresh"
_OLD_COMMENT = "How often an entity was in confirmed fraud"


def upgrade() -> None:
    """Applies it. The rows of entity_risk are made anew by the next refresh."""
    op.execute("DELETE FROM fraud.entity_risk")
    op.add_column(
        "entity_risk", sa.Column("customers", sa.Integer(), nullable=False, comment="distinct ones"), schema="fraud"
    )
    op.create_table_comment("entity_risk", _COMMENT, existing_comment=_OLD_COMMENT, schema="fraud")
    op.create_table(
        "entity_risk_versions",
        sa.Column("version", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "as_of", sa.DateTime(timezone=True), nullable=False, comment="counted are events and labels before it"
        ),
        sa.Column("published_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("transactions", sa.BigInteger(), nullable=False, comment="the shop's, over 30 days"),
        sa.Column("frauds", sa.BigInteger(), nullable=False, comment="of these, labelled as fraud"),
        sa.Column("entities", sa.Integer(), nullable=False, comment="rows of entity_risk"),
        sa.PrimaryKeyConstraint("version", name=op.f("entity_risk_versions_pkey")),
        schema="fraud",
        comment="A row a refresh of entity_risk; the stream re-reads it when the newest version changes",
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("entity_risk_versions", schema="fraud")
    op.create_table_comment("entity_risk", _OLD_COMMENT, existing_comment=_COMMENT, schema="fraud")
    op.drop_column("entity_risk", "customers", schema="fraud")
