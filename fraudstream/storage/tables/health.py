"""How the served models fare: figures by the hour, and what is out of bounds."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Identity, Index, Integer, Table, Text, text

from fraudstream.storage.tables.schema import Timestamp, metadata

model_health = Table(
    "model_health",
    metadata,
    Column("measured_at", Timestamp, primary_key=True),
    Column("model_version", Text, primary_key=True),
    Column("figure", Text, primary_key=True, comment="such as psi, calibration, precision, recall"),
    Column("subject", Text, primary_key=True, comment="score, a feature, or labels of which age"),
    Column("value", Double, comment="null: nothing could be said"),
    Column("low", Double, comment="of a 95% interval, or what value is by chance"),
    Column("high", Double, comment="of a 95% interval, or the most that value is by chance"),
    Column("sample", BigInteger, nullable=False, comment="transactions that it was made of"),
    Column("breached", Boolean, nullable=False, comment="out of bounds"),
    Column("told", Text, nullable=False, comment="for people: with what labels, against what"),
    comment="Figures of the served models, a row each run of monitor_model",
)

model_breaches = Table(
    "model_breaches",
    metadata,
    Column("breach_id", BigInteger, Identity(), primary_key=True),
    Column("model_version", Text, nullable=False),
    Column("figure", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("since", Timestamp, nullable=False),
    Column("seen_at", Timestamp, nullable=False),
    Column("runs", Integer, nullable=False, comment="in a row"),
    Column("ended_at", Timestamp),
    Column("asked_at", Timestamp, comment="when a training was asked for because of it, once"),
    Column("told", Text, nullable=False),
    Index(
        "model_breaches_open_idx",
        *("model_version", "figure", "subject"),
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
    ),
    comment="Figures out of bounds, from the first run that saw them so to the last",
)
