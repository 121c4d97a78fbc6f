"""A customer's rows in the archive: taken out of the tables, and the files that held them deleted at once."""

from collections.abc import Iterator
from datetime import UTC, datetime

import duckdb
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from fraudstream.archive import lake, lock
from fraudstream.archive.erased import ErasedTransactions
from fraudstream.archive.lake import ArchiveError, Table
from fraudstream.erasure.known import Erased
from fraudstream.failpoints import Failpoint, reach
from fraudstream.settings import Settings
from fraudstream.storage.connect import Postgres

#: Ids of one statement, each of which rewrites the files that have one of them.
_AT_ONCE = 500
_LOG_RETENTION = "delta.logRetentionDuration"
_CUSTOMERS = "SELECT DISTINCT customer_id FROM archived WHERE customer_id IS NOT NULL"


def erase(
    settings: Settings, connection: Postgres, erased: Erased, customers: set[str] | None = None
) -> dict[str, int]:
    """Takes the erased out of the archive. `customers`: only these; None: whoever is among the erased.

    Rows that came after a customer's erasure stay. Raises ArchiveError or psycopg.Error.
    """
    with lock.alone(settings):
        table = lake.open_table(settings, Table.TRANSACTIONS)
        if table is None:
            return {}
        ids = _transactions(table, erased, customers, ErasedTransactions(connection))
        # Labels first: whose they are, the transactions say.
        return {f"archive {kind}": _delete(settings, kind, ids) for kind in (Table.LABELS, Table.TRANSACTIONS)}


def _transactions(
    table: DeltaTable, erased: Erased, customers: set[str] | None, transactions: ErasedTransactions
) -> list[str]:
    rows = table.to_pyarrow_dataset()
    until = {name: erased.until(name) for name in (_customers(rows) if customers is None else customers)}
    found = {name: datetime.fromtimestamp(ms / 1000, UTC) for name, ms in until.items() if ms is not None}
    customer, arrived = ds.field("customer_id"), ds.field("ingest_time")
    ids = set[str]()
    for name, erased_at in found.items():
        chosen = (customer == name) & (arrived.is_null() | (arrived <= erased_at))
        ids |= set(rows.to_table(columns=["transaction_id"], filter=chosen)["transaction_id"].to_pylist())
    nobodys = rows.to_table(columns=["transaction_id"], filter=customer.is_null())["transaction_id"].to_pylist()
    return sorted(ids | {name for name in nobodys if name in transactions})


def _customers(rows: ds.Dataset) -> Iterator[str]:
    with duckdb.connect() as database:
        database.register("archived", rows.scanner(columns=["customer_id"]).to_reader())
        yield from (name for (name,) in database.execute(_CUSTOMERS).fetchall())


def _delete(settings: Settings, kind: Table, ids: list[str]) -> int:
    """Deletes the rows, and what is left of them on the disk; also what a killed run had left."""
    table = lake.open_table(settings, kind)
    if table is None:
        return 0
    deleted = 0
    try:
        for start in range(0, len(ids), _AT_ONCE):
            quoted = ", ".join(f"""'{name.replace("'", "''")}'""" for name in ids[start : start + _AT_ONCE])
            deleted += int(table.delete(f"transaction_id IN ({quoted})").get("num_deleted_rows") or 0)
            reach(Failpoint.IN_ERASURE_LAKE)
        _forget_files(table)
    except (DeltaError, OSError) as error:
        where = lake.location(settings, kind)
        raise ArchiveError(f"the archive at {where} can't be rewritten ({error}): erase again") from error
    return deleted


def _forget_files(table: DeltaTable) -> None:
    """Deletes files that the newest version doesn't need, and the log's older entries, which hold bounds of ids."""
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    kept = table.metadata().configuration.get(_LOG_RETENTION, "interval 30 days")
    table.alter.set_table_properties({_LOG_RETENTION: "interval 0 days"})
    try:
        table.create_checkpoint()
        table.cleanup_metadata()
    finally:
        table.alter.set_table_properties({_LOG_RETENTION: kept})
