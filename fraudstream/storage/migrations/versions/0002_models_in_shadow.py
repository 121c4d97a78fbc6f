"""Models in shadow, and which model shipped."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MODELS, _ONE_CHALLENGER = "model_versions", "model_versions_one_challenger_idx"


def upgrade() -> None:
    """Applies it."""
    op.add_column(
        "scored_transactions",
        sa.Column(
            "challenger_version",
            sa.Text(),
            nullable=True,
            comment="the model that scored in the champion's shadow, if there was one",
        ),
        schema="fraud",
    )
    op.add_column(
        "scored_transactions",
        sa.Column(
            "challenger_score",
            sa.Double(),
            nullable=True,
            comment="its probability of fraud, 0 to 1; decides nothing",
        ),
        schema="fraud",
    )
    op.add_column(
        _MODELS,
        sa.Column(
            "shipped",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="came with the repository",
        ),
        schema="fraud",
    )
    # Until now a model that shipped was registered in its place.
    op.execute("UPDATE fraud.model_versions SET shipped = true WHERE artifact = 'model/pretrained'")
    op.execute("UPDATE fraud.model_versions SET status = 'archived' WHERE status = 'challenger'")
    op.create_index(
        _ONE_CHALLENGER,
        _MODELS,
        ["status"],
        unique=True,
        schema="fraud",
        postgresql_where=sa.text("status = 'challenger'"),
    )
    op.create_table_comment(
        _MODELS,
        "Models; one champion and one challenger at a time",
        existing_comment="Models; one champion at a time",
        schema="fraud",
    )


def downgrade() -> None:
    """Undoes it."""
    op.create_table_comment(
        _MODELS,
        "Models; one champion at a time",
        existing_comment="Models; one champion and one challenger at a time",
        schema="fraud",
    )
    op.drop_index(_ONE_CHALLENGER, _MODELS, schema="fraud", postgresql_where=sa.text("status = 'challenger'"))
    op.drop_column(_MODELS, "shipped", schema="fraud")
    op.drop_column("scored_transactions", "challenger_score", schema="fraud")
    op.drop_column("scored_transactions", "challenger_version", schema="fraud")
