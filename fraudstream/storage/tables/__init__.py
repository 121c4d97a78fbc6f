"""The tables of schema `fraud`, as SQLAlchemy metadata. Alembic's migrations are tested equal to it.

Money is `numeric`: amounts in whole minor units of the transaction's currency, sums and list prices in the shop
currency; times are `timestamptz`; latitude and longitude are degrees.
"""

from fraudstream.storage.tables import (
    archive,
    desk,
    erasure,
    health,
    ledger,
    operations,
    past,
    policy,
    registry,
    results,
    retention,
    static_data,
)
from fraudstream.storage.tables.schema import SCHEMA, metadata

__all__ = [
    "SCHEMA",
    "archive",
    "desk",
    "erasure",
    "health",
    "ledger",
    "metadata",
    "operations",
    "past",
    "policy",
    "registry",
    "results",
    "retention",
    "static_data",
]
