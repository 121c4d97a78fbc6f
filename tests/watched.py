"""The rows that the checks of watch_platform look at: of a platform that is well, and what is wrong with it."""

import psycopg

from fraudstream.settings import Settings
from fraudstream.watch.checks import CHECKS, Fault, faults, parameters

Postgres = psycopg.Connection[tuple[object, ...]]

BATCH = """
    INSERT INTO fraud.stream_batches (query, batch_id, epoch, offsets, scored, late, flagged, browse_events, labels,
        dead_lettered, duplicates, model_version, static_version, started_at, committed_at, duration_ms, latencies_ms)
    SELECT 'q', %(first)s + n, %(epoch)s, '{{}}', 10, 0, 1, 90, 0, {dead}, 0, 'm', 1, now(),
           now() - {age} - n * interval '20 s', 100, ARRAY[100, 200, {p99}, 900]::float8[]
    FROM generate_series(0, %(count)s - 1) AS n
"""
LETTERS = """
    INSERT INTO fraud.dead_letters (topic, kafka_partition, kafka_offset, reason, detail, ingest_time, batch_id)
    SELECT 'transactions', 0, %(offset)s + n, %(reason)s, 'of a test', now(), %(batch)s
    FROM generate_series(1, %(count)s) AS n
"""
COUNTS = """
    INSERT INTO fraud.fraud_counts (window_start, transactions, flagged, amount, flagged_amount, unpriced)
    SELECT now() - {age} - n * interval '10 minutes', 100, {flagged}, 1000, 10, {unpriced}
    FROM generate_series(0, {windows} - 1) AS n
"""
READINGS = """
    INSERT INTO fraud.platform_readings (reading, place, at, value)
    SELECT %(reading)s, %(place)s, now() - n * interval '2 minutes', %(value)s + n * %(step)s
    FROM generate_series(0, %(count)s - 1) AS n
"""
DIFFERENCE = "INSERT INTO fraud.reconciliation_differences (key, text) VALUES ('k', 'batch 7: rows are missing')"
LOST = """
    INSERT INTO fraud.stream_lost_ranges (query, topic, kafka_partition, from_offset, until_offset, reason)
    VALUES ('q', 'transactions', 1, 4, 9, 'expired')
"""
ARCHIVED = """
    INSERT INTO fraud.archive_runs (transactions, labels, compared_from, compared_until, differences, finished_at)
    VALUES (0, 0, 0, 0, 0, now() - interval '50 minutes')
"""
VERDICTS = """
    WITH scored AS (
        INSERT INTO fraud.scored_transactions
        SELECT 't' || n, 's', 'c', now(), 20, 'EUR', '[]', 'card', NULL, NULL, 0, 0, 'Lyon', 'FR', 45.7, 4.8, 'FR', 'd',
               0.9, true, 0.5, '[]', 'v1', now(), false, now(), 0, n, 1, false FROM generate_series(1, 2) AS n
    )
    INSERT INTO fraud.analyst_verdicts (transaction_id, revision, verdict, reason_code, decided_by, publish_after)
    VALUES ('t1', 1, 'fraud', 'other', 'ana', now() - interval '20 minutes'),
           ('t1', 2, 'honest', 'other', 'ana', now() - interval '5 minutes'),
           ('t2', 1, 'unsure', 'other', 'ana', now() - interval '20 minutes')
"""
POLICY = """
    INSERT INTO fraud.policy_versions (policy_version, author, approved_at, comment, document)
    VALUES (1, 'ana', now(), 'of a test', %(document)s::jsonb)
"""
RULES = '{"rules": [{"name": "big", "condition": "amount > 9", "action": "review", "state": "live"}]}'
FAILURE = """
    INSERT INTO fraud.rule_failures (rule, condition, policy_version, error)
    VALUES ('big', %(condition)s, 1, 'out of range')
"""
GIB = 2**30


class Platform:
    """A platform's rows within a transaction that is rolled back."""

    def __init__(self, connection: Postgres, settings: Settings) -> None:
        self.connection = connection
        self._limits = parameters(settings)

    def run(self, statement: str, **values: object) -> None:
        """Changes the tables, as their owner."""
        self.connection.execute("SET LOCAL ROLE fraud_owner")
        self.connection.execute(statement.encode(), values or None)

    def batches(self, first: int, count: int, age: str = "interval '0'", epoch: int = 1, **fields: int) -> None:
        """Batches every 20 s, the newest of them so old."""
        statement = BATCH.format(age=age, dead=fields.get("dead", 0), p99=fields.get("p99", 400))
        self.run(statement, first=first, count=count, epoch=epoch)

    def counts(self, windows: int, age: str, flagged: int = 2, unpriced: int = 0) -> None:
        """Windows of 10 minutes, the newest of them so old."""
        self.run(COUNTS.format(age=age, flagged=flagged, unpriced=unpriced, windows=windows))

    def reading(self, reading: str, value: float, place: str = "", step: float = 0, count: int = 1) -> None:
        """Readings every 2 minutes, the newest now; each older one was higher by `step`."""
        self.run(READINGS, reading=reading, place=place, value=value, step=step, count=count)

    def be_well(self) -> None:
        """Ten minutes of batches, and a day before; books, disks and files as they should be; a quiet week."""
        self.run(
            "INSERT INTO fraud.stream_queries (query, epoch, driver, started_at, heartbeat_at) "
            "VALUES ('q', 1, 'd', now() - interval '9 days', now())"
        )
        self.batches(1000, 30)
        self.batches(10, 3, "interval '20 hours'")
        self.run(LETTERS, offset=0, reason="malformed", batch=11, count=5)
        self.run(LETTERS, offset=10, reason="malformed", batch=1001, count=5)
        self.counts(8 * 24 * 6, "interval '1 minute'")
        self.run("INSERT INTO fraud.reconciliations VALUES (now(), 1, 1, 0, 0, '{}')")
        for topic in ("transactions", "browse-events"):
            self.reading("lag", 40, topic, count=10)
        self.reading("disk_free_bytes", 90 * GIB, "/data", step=0.001 * GIB, count=100)
        self.reading("certificate_days", 90, "/ca.pem")
        self.reading("secret_days", 20, "fraud_writer")
        self.reading("snapshot_hours", 10)
        self.run(ARCHIVED)

    def forget(self, reading: str) -> None:
        """Deletes what was read of it."""
        self.run("DELETE FROM fraud.platform_readings WHERE reading = %(reading)s", reading=reading)

    def faults(self) -> dict[str, Fault]:
        """What the checks find, with the reader's rights, by check and subject."""
        self.connection.execute("SET LOCAL ROLE fraud_reader")
        found: list[Fault] = []
        for check in CHECKS:
            found += faults(check, self.connection.execute(check.sql.encode(), self._limits).fetchall())
        return {f"{fault.source} {fault.subject}".strip(): fault for fault in found}
