"""Compares the archive with the ledger: each micro-batch's scored transactions are archived, and once."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow.dataset as ds
from deltalake import DeltaTable

from fraudstream.ledger.differences import Difference
from fraudstream.messages.contracts import QUERY
from fraudstream.storage.connect import Postgres

#: At most so many batches a run: what is left, the next ones compare.
MOST_BATCHES = 200_000

_POSITION = "SELECT compared_until FROM fraud.archive_runs ORDER BY run_id DESC LIMIT 1"
# What was published before Kafka's ends were asked is within them.
_BATCHES = """
SELECT batch_id, scored, (SELECT count(*) FROM fraud.erased_transactions e WHERE e.batch_id = b.batch_id)
FROM fraud.stream_batches b
WHERE query = %(query)s AND with_features AND batch_id >= %(since)s AND batch_id < coalesce(
    (SELECT min(batch_id) FROM fraud.stream_batches
     WHERE query = %(query)s AND (published_at IS NULL OR published_at >= %(before)s)), 9223372036854775807)
ORDER BY batch_id LIMIT %(most)s
"""
_COUNTS = "SELECT batch_id, count(*), count(DISTINCT transaction_id) FROM archived GROUP BY batch_id"


@dataclass(frozen=True)
class Compared:
    """Batches from `since` until `until` were compared."""

    since: int
    until: int
    found: list[Difference]


def compare(connection: Postgres, table: DeltaTable | None, before: datetime) -> Compared:
    """Compares the batches since the last run that were published `before`. Raises psycopg.Error."""
    row = connection.execute(_POSITION).fetchone()
    since = int(row[0]) if row else 0
    asked = {"query": QUERY, "since": since, "before": before, "most": MOST_BATCHES}
    rows = connection.execute(_BATCHES, asked).fetchall()
    batches = {int(batch_id): (int(scored), int(erased)) for batch_id, scored, erased in rows}
    if not batches:
        return Compared(since, since, [])
    until = max(batches) + 1
    return Compared(since, until, list(_differences(batches, _archived(table, min(batches), until))))


def _archived(table: DeltaTable | None, since: int, until: int) -> dict[int, tuple[int, int]]:
    """Rows and distinct transactions of each batch."""
    if table is None:
        return {}
    batch = ds.field("batch_id")
    archived = table.to_pyarrow_dataset().scanner(
        columns=["batch_id", "transaction_id"], filter=(batch >= since) & (batch < until)
    )
    with duckdb.connect() as database:
        database.register("archived", archived.to_reader())
        return {batch_id: (rows, distinct) for batch_id, rows, distinct in database.execute(_COUNTS).fetchall()}


def _differences(batches: dict[int, tuple[int, int]], archived: dict[int, tuple[int, int]]) -> Iterator[Difference]:
    """Of the scored ones of a batch, those of erased customers may lie in the archive no more, or still."""
    for batch_id, (scored, erased) in batches.items():
        rows, distinct = archived.get(batch_id, (0, 0))
        if rows != distinct or not scored - erased <= rows <= scored:
            twice = f", {rows - distinct} of them twice" if rows > distinct else ""
            yield Difference(
                f"batch {batch_id} archive {rows}/{distinct}/{scored}",
                f"batch {batch_id}: the archive has {rows} transactions of it{twice}, and the ledger says {scored}",
            )
