"""Erasures: which customers were forgotten, by a salted hash of their ids, and the certificates that remain."""

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from fraudstream.storage.tables.schema import Timestamp, created_at, metadata

erasures = Table(
    "erasures",
    metadata,
    Column("erasure_id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("id_hash", Text, nullable=False, comment="SHA-256 of salt and customer id, hexadecimal"),
    Column("salt", Text, nullable=False, comment="random; the same for all erasures of a platform"),
    Column("reason", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("approved_by", Text, nullable=False),
    created_at("requested_at"),
    Column("erased_at", Timestamp, comment="messages that Kafka got until then are of the erased; null: not yet"),
    Column("finished_at", Timestamp, comment="null: a step is still to be done"),
    Column(
        "counts", JSONB, nullable=False, server_default="{}", comment="{place: what was erased or made unrecognisable}"
    ),
    Column("control", JSONB, comment="the message at which the stream forgets the profile: topic, partition, offset"),
    Index(None, "id_hash"),
    comment="Certificates of customers' erasures, without their ids",
)

erased_transactions = Table(
    "erased_transactions",
    metadata,
    Column("id_hash", Text, primary_key=True, comment="SHA-256 of the erasure's salt and the transaction id"),
    Column("erasure_id", Uuid, nullable=False),
    Column("batch_id", BigInteger, nullable=False, comment="the micro-batch that scored it"),
    ForeignKeyConstraint(["erasure_id"], [erasures.c.erasure_id], ondelete="CASCADE"),
    Index(None, "batch_id"),
    Index(None, "erasure_id"),
    comment="Erased transactions, so that the archive takes none of them, and is compared with the ledger without them",
)
