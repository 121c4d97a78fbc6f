"""Scored transactions made in SQL, for benchmarks of what reads them: evenly over some days until now.

Each column is an SQL expression over `n`, the transaction's number from 1 on, and `at`, its event time.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.sql import SQL, Identifier, Literal

from fraudstream.storage.connect import Postgres

#: Rows of one INSERT.
CHUNK = 500_000
#: What a benchmark may leave as it is: purchases in the shop currency, one in 50 flagged, in micro-batches of 100.
USUAL = {
    "transaction_id": "'tx-' || n",
    "session_id": "'s-' || n",
    "event_time": "at",
    "currency": "'EUR'",
    "exchange_rate": "1",
    "promo_amount": "0",
    "shipping_fee": "2",
    "ip_country": "'FR'",
    "is_fraud": "n % 50 = 0",
    "threshold": "0.5",
    "model_version": "'m-1'",
    "scored_at": "at",
    "late": "false",
    "ingest_time": "at",
    "kafka_partition": "n % 2",
    "kafka_offset": "n",
    "batch_id": "n / 100",
    "committed_at": "at",
}
_INSERT = """
INSERT INTO fraud.scored_transactions ({columns})
SELECT {values} FROM (
    SELECT n, now() - {days} * interval '1 day' * (1 - n::float8 / {rows}) AS at
    FROM generate_series({first}, {last}) AS n
) AS made
"""

#: Keys, and then what refers to them.
_CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = 'fraud.scored_transactions'::regclass AND contype IN ('p', 'u')
    OR confrelid = 'fraud.scored_transactions'::regclass
ORDER BY contype = 'f'
"""
_INDICES = """
SELECT relname, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid = 'fraud.scored_transactions'::regclass
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""


def insert(owner: Postgres, rows: int, days: int, columns: dict[str, str]) -> None:
    """Inserts `rows` transactions of the newest `days`, over an autocommitting connection. Raises psycopg.Error."""
    made = USUAL | columns
    with _without_indices(owner):
        for first in range(1, rows + 1, CHUNK):
            owner.execute(
                SQL(_INSERT).format(
                    columns=SQL(", ").join(map(Identifier, made)),
                    values=SQL(", ".join(made.values())),
                    days=Literal(days),
                    rows=Literal(rows),
                    first=Literal(first),
                    last=Literal(min(first + CHUNK, rows + 1) - 1),
                )
            )


@contextmanager
def _without_indices(owner: Postgres) -> Iterator[None]:
    """Makes the table's indices afterwards: each id goes anywhere into one, which of many is slow."""
    constraints, indices = owner.execute(_CONSTRAINTS).fetchall(), owner.execute(_INDICES).fetchall()
    for table, name, _ in reversed(constraints):
        owner.execute(SQL(f"ALTER TABLE {table} DROP CONSTRAINT {{}}").format(Identifier(name)))
    for name, _ in indices:
        owner.execute(SQL("DROP INDEX fraud.{}").format(Identifier(name)))
    yield
    owner.execute("SET maintenance_work_mem = '512MB'")
    for table, name, definition in constraints:
        owner.execute(SQL(f"ALTER TABLE {table} ADD CONSTRAINT {{}} {definition}").format(Identifier(name)))
    for _, definition in indices:
        owner.execute(definition.encode())


def one_of(number: int, seed: int) -> str:
    """SQL: a number from 0 on below `number`, that doesn't depend on one of another seed."""
    return f"mod(hashint4extended(n, {seed}) & 2147483647, {number})::int"
