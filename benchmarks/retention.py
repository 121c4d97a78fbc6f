"""Retention of a filled database of its own: how long its steps take, how long commits wait for it, and what is left.

./fraudctl bench retention

The transactions are of 160 days, one like the other; the sales are of six hours of the simulated shop.
"""

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as ds
import typer

from fraudstream.messages.contracts import QUERY
from fraudstream.retention import tables, thinning
from fraudstream.settings import Settings
from fraudstream.settings.retention import RetentionSettings
from fraudstream.simulator.history import write_history
from fraudstream.simulator.history_plan import HistoryPlan
from fraudstream.storage.connect import Postgres, connect
from testbed.isolation import isolated_servers

TRANSACTIONS = 300_000
BATCHES = 3_000
DAYS = 160
#: Of the shop at its default rate in six hours.
SALES_TRANSACTIONS = 250_000
FILL = f"""
INSERT INTO fraud.stream_queries (query, epoch, driver, started_at, heartbeat_at)
VALUES ('{QUERY}', 1, 'bench', now(), now());

INSERT INTO fraud.scored_transactions (transaction_id, session_id, customer_id, event_time, amount, currency, items,
    payment_method, card_token, promo_amount, shipping_fee, shipping_city, shipping_country, shipping_latitude,
    shipping_longitude, ip_country, device_id, fraud_score, is_fraud, threshold, reasons, model_version, scored_at,
    late, ingest_time, kafka_partition, kafka_offset, batch_id, counted_in_sales, content_hash, committed_at)
SELECT 'tx-' || md5(n::text), 's-' || md5('s' || n), 'c-' || n % 20000, at, 42.5, 'EUR',
    '[{{"product_id": "p-1", "quantity": 1, "unit_price": 40.5}}]', 'card', 'tok-' || md5(n::text), 0, 2, 'Paris', 'FR',
    48.8, 2.3, 'FR', 'd-' || md5(n::text), 0.01, n % 50 = 0, 0.5, '[]', 'm-1', at, false, at, n % 2, n,
    n * {BATCHES} / {TRANSACTIONS}, true, n, at
FROM (SELECT n, now() - interval '{DAYS} days' * (1 - n::float8 / {TRANSACTIONS}) AS at
      FROM generate_series(0, {TRANSACTIONS - 1}) AS n) AS made;

INSERT INTO fraud.transaction_labels
    (transaction_id, is_fraud, source, labelled_at, ingest_time, kafka_partition, kafka_offset, batch_id)
SELECT transaction_id, is_fraud, 'chargeback', committed_at, committed_at, 0, kafka_offset, batch_id
FROM fraud.scored_transactions WHERE kafka_offset % 10 = 0;

INSERT INTO fraud.flagged_sessions (customer_id, session_id, flagged_at)
SELECT customer_id, session_id, committed_at FROM fraud.scored_transactions WHERE is_fraud;

INSERT INTO fraud.stream_batches (query, batch_id, epoch, offsets, scored, late, flagged, browse_events, labels,
    dead_lettered, duplicates, model_version, static_version, started_at, committed_at, duration_ms, latencies_ms,
    published_at)
SELECT '{QUERY}', batch_id, 1, '{{}}', count(*), 0, 0, 0, 0, 0, 0, 'm-1', 1, max(committed_at), max(committed_at), 1,
    '{{}}', now()
FROM fraud.scored_transactions GROUP BY batch_id;

ANALYZE fraud.scored_transactions, fraud.transaction_labels, fraud.stream_batches, fraud.flagged_sessions;
"""  # noqa: S608 (constants)
BEAT = f"UPDATE fraud.stream_queries SET heartbeat_at = now() WHERE query = '{QUERY}'"  # noqa: S608 (constants)
SALES = "COPY fraud.product_sales (window_start, product_id, units, revenue, batch_id) FROM STDIN"


@contextmanager
def commits(settings: Settings) -> Iterator[list[float]]:
    """Transactions that lock what the stream's commits lock, one after the other, and how long each waited."""
    waits: list[float] = []
    ended = threading.Event()

    def commit() -> None:
        with connect(settings, settings.postgres.writer, autocommit=True) as connection:
            while not ended.wait(0.02):
                begun = time.perf_counter()
                connection.execute(BEAT.encode())
                waits.append(time.perf_counter() - begun)

    thread = threading.Thread(target=commit)
    thread.start()
    try:
        yield waits
    finally:
        ended.set()
        thread.join()


def size(owner: Postgres, table: str) -> tuple[int, int]:
    """Bytes and rows of a table that was just rewritten."""
    owner.execute(f"VACUUM FULL fraud.{table}".encode())
    query = f"SELECT pg_total_relation_size('fraud.{table}'), count(*) FROM fraud.{table}"  # noqa: S608 (constants)
    ((found, rows),) = owner.execute(query.encode()).fetchall()
    return found, rows


def fill_sales(owner: Postgres, folder: Path) -> None:
    """Sales of the simulated shop in windows of 30 s, which ended four hours ago."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=4)
    plan = HistoryPlan(1, 20_000, 1_000, SALES_TRANSACTIONS, fraud_rate=0.009, days=0.25, end=end)
    for _ in write_history(folder, plan, workers=1):
        pass
    rows = ds.dataset(folder / "transactions").to_table(columns=["event_time", "items"])
    items = rows["items"].combine_chunks()
    seconds = pc.take(rows["event_time"], pc.list_parent_indices(items)).cast("int64").to_numpy() // 1000
    products = pc.struct_field(pc.list_flatten(items), "product_id").to_pylist()
    sold = Counter(zip((seconds // 30 * 30).tolist(), products, strict=True))
    with owner.cursor() as cursor, cursor.copy(SALES) as copy:
        for (start, product), units in sorted(sold.items()):
            copy.write_row((datetime.fromtimestamp(start, UTC), product, units, 40 * units, start // 30))


def retire(settings: Settings, owner: Postgres, writer: Postgres) -> None:
    """Deletes what is older than the default settings say, and tells how."""
    owner.execute(FILL.encode())
    stored, rows = size(owner, "scored_transactions")
    print(f"scored_transactions: {rows} rows, {stored / rows:.0f} bytes each")
    keep = RetentionSettings()
    with commits(settings) as waits:
        for rule in tables.RULES:
            steps, gone = [], -1
            while gone:
                begun = time.perf_counter()
                gone = tables._step(writer, rule, keep)
                steps.append(time.perf_counter() - begun)
            print(
                f"{rule.table}: {len(steps)} steps, {sum(steps) / len(steps):.3f} s on average, {max(steps):.3f} s most"
            )
    print(f"{len(waits)} commits beside it waited {max(waits):.3f} s at most")
    stored, rows = size(owner, "retired_transactions")
    print(f"retired_transactions: {rows} rows, {stored / rows:.0f} bytes each")


def thin(settings: Settings, owner: Postgres, writer: Postgres) -> None:
    """Thins sales of a few hours to minutes, then hours, and tells what is left."""
    with tempfile.TemporaryDirectory() as folder:
        fill_sales(owner, Path(folder))
    fine, rows = size(owner, "product_sales")
    print(f"product_sales in 30 s: {rows} rows, {fine / rows:.0f} bytes each")
    # The newest window decides what is old.
    owner.execute("INSERT INTO fraud.product_sales VALUES (now() - interval '1 minute', 'newest', 1, 1, 0)")
    for name, keep in (
        ("minutes", RetentionSettings(rollups_fine_hours=2)),
        ("hours", RetentionSettings(rollups_fine_hours=2, rollups_minutes_days=0.1)),
    ):
        begun = time.perf_counter()
        with commits(settings) as waits:
            gone = sum(thinned.rows for thinned in thinning.thin(writer, keep))
        took = time.perf_counter() - begun
        left, rows = size(owner, "product_sales")
        print(
            f"product_sales in {name}: {gone} rows merged in {took:.2f} s, a commit waited {max(waits):.3f} s at most; "
            f"left are {rows} rows, {left / fine:.1%} of the bytes"
        )


def main() -> None:
    """Fills, retires and thins."""
    with isolated_servers() as settings, connect(settings, settings.postgres.admin, autocommit=True) as owner:
        owner.execute("SET ROLE fraud_owner")
        with connect(settings, settings.postgres.writer, autocommit=True) as writer:
            retire(settings, owner, writer)
            thin(settings, owner, writer)


if __name__ == "__main__":
    typer.run(main)
