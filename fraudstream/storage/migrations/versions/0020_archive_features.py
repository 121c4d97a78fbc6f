"""Archive features: what waits to be published, runs of the archive, rescorings, and the models' health.

New tables, and a column with a constant default on `stream_batches`, which Postgres doesn't rewrite for it: it takes no
longer on a filled database.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
TABLES = ("model_breaches", "model_health", "rescored_days", "rescorings", "archive_runs", "batch_features")


def upgrade() -> None:
    """Applies it."""
    op.add_column(
        "stream_batches",
        sa.Column(
            "with_features",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="whether its transactions' features went to Kafka, too",
        ),
        schema="fraud",
    )
    _archive()
    _rescorings()
    _health()


def _archive() -> None:
    op.create_table(
        "feature_sets",
        sa.Column("feature_set", sa.Text(), nullable=False, comment="hash of the names"),
        sa.Column(
            "names",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="of the features, in the order of their values",
        ),
        sa.Column("first_used_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("feature_set", name=op.f("feature_sets_pkey")),
        schema="fraud",
        comment="What the packed features of topic transaction-features are",
    )
    op.create_table(
        "batch_features",
        sa.Column("batch_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("feature_set", sa.Text(), nullable=False),
        sa.Column(
            "features",
            sa.LargeBinary(),
            nullable=False,
            comment="of each transaction: partition, offset, float32 values",
        ),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("batch_features_pkey")),
        schema="fraud",
        comment="Features of micro-batches that aren't published yet: a row a batch, deleted once Kafka has them",
    )
    # Floats hardly shrink, and a row lives for milliseconds.
    op.execute("ALTER TABLE fraud.batch_features ALTER COLUMN features SET STORAGE EXTERNAL")
    op.create_table(
        "archive_runs",
        sa.Column("run_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("transactions", sa.BigInteger(), nullable=False, comment="appended by it"),
        sa.Column("labels", sa.BigInteger(), nullable=False, comment="appended by it"),
        sa.Column(
            "compared_from",
            sa.BigInteger(),
            nullable=False,
            comment="batch id: where the comparison with the ledger began",
        ),
        sa.Column("compared_until", sa.BigInteger(), nullable=False, comment="batch id: where the next run's begins"),
        sa.Column("differences", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("archive_runs_pkey")),
        schema="fraud",
        comment="Runs of the Dag archive_transactions",
    )


def _rescorings() -> None:
    op.create_table(
        "rescorings",
        sa.Column("rescoring_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.Text(), comment="null: the model's threshold alone decides"),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("since", _TIME, nullable=False, comment="event time"),
        sa.Column("until", _TIME, nullable=False, comment="event time, exclusive"),
        sa.Column("known_at", _TIME, nullable=False, comment="labels are those that were known then"),
        sa.Column("transactions", sa.BigInteger(), nullable=False),
        sa.Column("left_out", sa.BigInteger(), nullable=False, comment="whose features the model can't be given"),
        sa.Column(
            "request", sa.Text(), nullable=False, comment="what asked for it, such as a Dag's run: a repeat replaces it"
        ),
        sa.Column("finished_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("rescoring_id", name=op.f("rescorings_pkey")),
        sa.UniqueConstraint("request", name=op.f("rescorings_request_key")),
        schema="fraud",
        comment="Periods scored again from the archive: what would have been decided, beside what was",
    )
    counts = {
        "transactions": None,
        "labelled": "of which a label was known",
        "frauds": "whose newest known label says fraud",
        "was_flagged": None,
        "would_flag": None,
        "both_flagged": None,
        "was_caught": "flagged, and among the frauds",
        "would_catch": None,
    }
    amounts = {
        "fraud_amount": "in the shop currency, as all amounts here",
        "was_flagged_amount": None,
        "would_flag_amount": None,
        "was_caught_amount": None,
        "would_catch_amount": None,
    }
    op.create_table(
        "rescored_days",
        sa.Column("rescoring_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="of event time, UTC"),
        *(sa.Column(name, sa.BigInteger(), nullable=False, comment=comment) for name, comment in counts.items()),
        *(sa.Column(name, sa.Numeric(), nullable=False, comment=comment) for name, comment in amounts.items()),
        sa.ForeignKeyConstraint(
            ["rescoring_id"],
            ["fraud.rescorings.rescoring_id"],
            name=op.f("rescored_days_rescoring_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("rescoring_id", "day", name=op.f("rescored_days_pkey")),
        schema="fraud",
        comment="A rescoring by event day",
    )


def _health() -> None:
    op.create_table(
        "model_health",
        sa.Column("measured_at", _TIME, nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("figure", sa.Text(), nullable=False, comment="such as psi, calibration, precision, recall"),
        sa.Column("subject", sa.Text(), nullable=False, comment="score, a feature, or labels of which age"),
        sa.Column("value", sa.Double(), comment="null: nothing could be said"),
        sa.Column("low", sa.Double(), comment="of a 95% interval, or what value is by chance"),
        sa.Column("high", sa.Double(), comment="of a 95% interval, or the most that value is by chance"),
        sa.Column("sample", sa.BigInteger(), nullable=False, comment="transactions that it was made of"),
        sa.Column("breached", sa.Boolean(), nullable=False, comment="out of bounds"),
        sa.Column("told", sa.Text(), nullable=False, comment="for people: with what labels, against what"),
        sa.PrimaryKeyConstraint("measured_at", "model_version", "figure", "subject", name=op.f("model_health_pkey")),
        schema="fraud",
        comment="Figures of the served models, a row each run of monitor_model",
    )
    op.create_table(
        "model_breaches",
        sa.Column("breach_id", sa.BigInteger(), sa.Identity(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("model_version", "figure", "subject")),
        *(sa.Column(name, _TIME, nullable=False) for name in ("since", "seen_at")),
        sa.Column("runs", sa.Integer(), nullable=False, comment="in a row"),
        sa.Column("ended_at", _TIME),
        sa.Column("asked_at", _TIME, comment="when a training was asked for because of it, once"),
        sa.Column("told", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("breach_id", name=op.f("model_breaches_pkey")),
        schema="fraud",
        comment="Figures out of bounds, from the first run that saw them so to the last",
    )
    op.create_index(
        "model_breaches_open_idx",
        "model_breaches",
        ["model_version", "figure", "subject"],
        unique=True,
        schema="fraud",
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def downgrade() -> None:
    """Takes it back. Features that weren't published yet are lost to the archive."""
    for table in (*TABLES, "feature_sets"):
        op.drop_table(table, schema="fraud")
    op.drop_column("stream_batches", "with_features", schema="fraud")
