"""The checks and incidents of watch_platform on a real Postgres: each check fires on its fault, and on nothing else."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from fraudstream.errors import UsageError
from fraudstream.settings import PROJECT_DIR, Settings
from fraudstream.storage import roles
from fraudstream.storage.connect import connect
from fraudstream.watch import incidents, messages, metrics, readings
from fraudstream.watch.checks import CHECKS, Fault, Severity, faults, parameters
from fraudstream.watch.incidents import Incident
from fraudstream.watch.readings import Reading
from tests.commands import fraudctl
from tests.hooks import Hooks, taken_hooks

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


@pytest.fixture
def platform_rows(owner: Postgres, settings: Settings, empty_tables: None) -> Iterator[Platform]:
    """A platform that is well."""
    with owner.transaction(force_rollback=True):
        made = Platform(owner, settings)
        made.be_well()
        yield made


def silence(platform: Platform) -> None:
    platform.run("DELETE FROM fraud.stream_batches WHERE committed_at > now() - interval '5 minutes'")


def slow(platform: Platform) -> None:
    platform.run("UPDATE fraud.stream_batches SET latencies_ms[3] = 12000 WHERE batch_id >= 1000")


def lag(platform: Platform) -> None:
    platform.forget("lag")
    platform.reading("lag", 60_000, "transactions", count=4)


def starts(platform: Platform) -> None:
    platform.run("UPDATE fraud.stream_batches SET epoch = batch_id WHERE batch_id BETWEEN 1000 AND 1006")


def books(platform: Platform) -> None:
    platform.run(DIFFERENCE)


def reconciliation(platform: Platform) -> None:
    platform.run("UPDATE fraud.reconciliations SET at = now() - interval '45 minutes'")


def reasons(platform: Platform) -> None:
    platform.run(LETTERS, offset=20, reason="unknown_version", batch=1001, count=2)


def refused(platform: Platform) -> None:
    platform.run("UPDATE fraud.stream_batches SET dead_lettered = 3 WHERE batch_id >= 1000")


def unpriced(platform: Platform) -> None:
    platform.run("UPDATE fraud.fraud_counts SET unpriced = 1 WHERE window_start > now() - interval '5 minutes'")


def lost(platform: Platform) -> None:
    platform.run(LOST)


def flagged(platform: Platform) -> None:
    platform.run("UPDATE fraud.fraud_counts SET flagged = 7 WHERE window_start > now() - interval '1 hour'")


def disk(platform: Platform) -> None:
    platform.forget("disk_free_bytes")
    platform.reading("disk_free_bytes", 20 * GIB, "/data", step=0.1 * GIB, count=100)


def certificates(platform: Platform) -> None:
    platform.reading("certificate_days", 3, "/client.pem")


def secrets(platform: Platform) -> None:
    platform.reading("secret_days", 500, "fraud_reader")


def snapshot(platform: Platform) -> None:
    platform.forget("snapshot_hours")
    platform.batches(1, 1, "interval '40 hours'")


def verdicts(platform: Platform) -> None:
    platform.run(VERDICTS)
    platform.run("UPDATE fraud.analyst_verdicts SET undone_at = now() WHERE revision = 2")


def archive(platform: Platform) -> None:
    platform.run("DELETE FROM fraud.archive_runs")
    platform.batches(20, 1, "interval '4 hours'")


def rules(platform: Platform) -> None:
    platform.run(POLICY, document=RULES)
    platform.run(FAILURE, condition="amount > 9")


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (silence, "silence"),
        (slow, "slow"),
        (lag, "lag"),
        (starts, "starts"),
        (books, "books"),
        (reconciliation, "reconciliation"),
        (reasons, "reasons unknown_version"),
        (refused, "refused"),
        (unpriced, "unpriced"),
        (lost, "lost transactions/1"),
        (flagged, "flagged"),
        (disk, "disk /data"),
        (certificates, "certificates /client.pem"),
        (secrets, "secrets fraud_reader"),
        (snapshot, "snapshot"),
        (verdicts, "verdicts"),
        (archive, "archive"),
        (rules, "rules big"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_check_fires_on_its_fault_and_no_other_does(
    platform_rows: Platform, make: Callable[[Platform], None], found: str
) -> None:
    assert platform_rows.faults() == {}
    make(platform_rows)
    assert set(platform_rows.faults()) == {found}


def test_a_platform_that_just_started_has_no_fault(owner: Postgres, settings: Settings, empty_tables: None) -> None:
    with owner.transaction(force_rollback=True):
        fresh = Platform(owner, settings)
        assert fresh.faults() == {}
        fresh.run(
            "INSERT INTO fraud.stream_queries (query, epoch, driver, started_at, heartbeat_at) "
            "VALUES ('q', 1, 'd', now() - interval '20 s', now())"
        )
        fresh.reading("lag", 900, "transactions")
        assert fresh.faults() == {}


@pytest.mark.parametrize("before", [0, 7], ids=["nothing waited before", "what waited before was committed"])
def test_a_message_that_was_just_read_is_no_silence(platform_rows: Platform, before: int) -> None:
    """A quiet shop: its newest batch is old, and what waits came a moment ago."""
    platform_rows.run("DELETE FROM fraud.stream_batches WHERE committed_at > now() - interval '5 minutes'")
    if before:
        platform_rows.batches(1100, 1, "interval '90 s'")
    platform_rows.run(
        "UPDATE fraud.platform_readings SET value = CASE WHEN at = now() THEN 1 ELSE %(before)s END "
        "WHERE reading = 'lag'",
        before=before,
    )
    assert platform_rows.faults() == {}


def test_what_a_newer_one_took_the_place_of_is_no_fault(platform_rows: Platform) -> None:
    """A verdict that was revised, and a rule whose condition was changed after it had failed."""
    platform_rows.run(VERDICTS)
    platform_rows.run(POLICY, document=RULES)
    platform_rows.run(FAILURE, condition="amount > 'a'")
    assert platform_rows.faults() == {}


def test_the_text_of_a_fault_says_how_much(platform_rows: Platform) -> None:
    for make in (disk, flagged, lost, refused):
        make(platform_rows)
    told = {name: fault.text for name, fault in platform_rows.faults().items()}
    assert told["disk /data"] == "20.0 GiB are free, and full in 6.7 hours, as it fills now"
    assert told["flagged"].startswith("7.00 percent of the newest hour's transactions are flagged, and 2.0")
    assert told["lost transactions/1"] == "5 messages were given up unread: expired"
    assert told["refused"] == "45 of 1545 messages of five minutes were refused"


def test_every_limit_can_be_turned_off_or_moved(platform_rows: Platform, settings: Settings) -> None:
    certificates(platform_rows)
    secrets(platform_rows)
    snapshot(platform_rows)
    off = settings.watch.model_copy(update={"certificate_days": 0, "secret_days": 0, "snapshot_hours": 0})
    platform_rows._limits = off.model_dump()
    assert platform_rows.faults() == {}
    platform_rows._limits = settings.watch.model_copy(update={"backup_hours": 12.0}).model_dump()
    assert "backup" in platform_rows.faults()


def fault(subject: str = "", text: str = "it is so") -> Fault:
    return Fault("books", subject, Severity.CRITICAL, text)


def test_a_fault_is_one_incident_until_it_has_passed(writer: Postgres, empty_tables: None) -> None:
    [number] = incidents.see(writer, [fault(text="1 is open")])
    assert incidents.see(writer, [fault(text="2 are open")]) == [number]
    assert [found.text for found in incidents.open_incidents(writer)] == ["2 are open"]
    assert incidents.close(writer, ["books"], [], quiet_seconds=300) == []
    assert incidents.close(writer, ["disk"], [], quiet_seconds=0) == []
    assert incidents.close(writer, ["books"], [number], quiet_seconds=0) == []
    assert incidents.close(writer, ["books"], [], quiet_seconds=0) == [number]
    [again] = incidents.see(writer, [fault()])
    assert again != number


def test_runs_at_the_same_time_open_it_once(settings: Settings, empty_tables: None) -> None:
    runs = 6
    gate = threading.Barrier(runs)

    def run(_: int) -> list[int]:
        with connect(settings, settings.postgres.writer, autocommit=True) as connection:
            gate.wait()
            return incidents.see(connection, [fault("a"), fault("b")])

    with ThreadPoolExecutor(runs) as pool:
        numbers = list(pool.map(run, range(runs)))
    assert len({tuple(found) for found in numbers}) == 1
    with connect(settings, settings.postgres.reader) as connection:
        assert len(incidents.open_incidents(connection)) == 2


def test_each_is_told_once_when_it_opens_and_once_when_it_closes(writer: Postgres, empty_tables: None) -> None:
    sent: list[list[Incident]] = []
    incidents.see(writer, [fault("a"), fault("b")])
    assert (incidents.tell(writer, sent.append), incidents.tell(writer, sent.append)) == (2, 0)
    incidents.close(writer, ["books"], [], quiet_seconds=0)
    assert (incidents.tell(writer, sent.append), incidents.tell(writer, sent.append)) == (2, 0)
    assert [messages.is_over(told) for told in sent] == [False, True]


def test_the_end_of_an_incident_of_two_days_is_told(writer: Postgres, owner: Postgres, empty_tables: None) -> None:
    incidents.see(writer, [fault("a"), fault("b")])
    assert incidents.tell(writer, lambda told: None) == 2
    owner.execute("UPDATE fraud.incidents SET opened_at = now() - interval '2 days'")
    assert incidents.tell(writer, lambda told: None) == 0
    incidents.close(writer, ["books"], [], quiet_seconds=0)
    owner.execute("UPDATE fraud.incidents SET closed_at = now() - interval '25 hours' WHERE subject = 'b'")
    assert incidents.tell(writer, lambda told: None) == 1


def test_what_could_not_be_sent_is_sent_by_the_next_run(writer: Postgres, empty_tables: None) -> None:
    def fail(_: list[Incident]) -> None:
        raise OSError("the mail server is away")

    incidents.see(writer, [fault()])
    with pytest.raises(OSError, match="away"):
        incidents.tell(writer, fail)
    assert incidents.tell(writer, lambda told: None) == 1


def test_somebody_looks_after_an_incident(writer: Postgres, empty_tables: None) -> None:
    [number] = incidents.see(writer, [fault("a", "3 differences")])
    done = fraudctl("incidents", str(number))
    assert done.returncode == 0, done.stderr
    assert "looks after it  books a: 3 differences\n1 open" in done.stdout
    with pytest.raises(UsageError, match="number 0"):
        incidents.acknowledge(writer, [0], "me")


def test_readings_are_kept_and_forgotten(settings: Settings, writer: Postgres, empty_tables: None) -> None:
    """Kafka's topics are real, and so are this machine's disk and the secrets of the suite's platform."""
    local, unread = readings.local(settings)
    assert unread == {}
    found = [*local, *readings.lag(settings, writer)]
    names = {reading.name for reading in found}
    assert {"lag", "disk_free_bytes", "disk_size_bytes", "secret_days"} <= names
    readings.keep(writer, found, days=1)
    kept = "SELECT reading, place, value FROM fraud.platform_readings"
    assert {Reading(*row) for row in writer.execute(kept)} == set(found)
    writer.execute("INSERT INTO fraud.platform_readings VALUES ('lag', 'old', now() - interval '25 hours', 1)")
    readings.keep(writer, [Reading("lag", "new", 1)], days=1)
    assert {Reading(*row) for row in writer.execute(kept)} == {*found, Reading("lag", "new", 1)}


def test_metrics_are_the_declared_ones_and_tell_of_every_table(
    settings: Settings, writer: Postgres, empty_tables: None
) -> None:
    bare = {sample.metric: sample.value for sample in metrics.collect(settings)}
    assert (bare["fraudstream_ledger_up"], bare["fraudstream_incidents_open"]) == (1, 0)
    assert "fraudstream_last_batch_age_seconds" not in bare
    incidents.see(writer, [fault("a"), fault("b")])
    writer.execute(BATCH.format(age="interval '0'", dead=1, p99=400), {"first": 1, "count": 2, "epoch": 1})
    read = [Reading("lag", "transactions", 7), Reading("certificate_days", "/ca.pem", 2), *readings.ledger(writer)]
    readings.keep(writer, read, days=1)
    found = {(sample.metric, sample.labels): sample.value for sample in metrics.collect(settings)}
    assert found["fraudstream_incidents_open", ("critical",)] == 2
    assert found["fraudstream_lag_messages", ("transactions",)] == 7
    assert found["fraudstream_certificate_expires_seconds", ("/ca.pem",)] == 2 * 86_400
    assert found["fraudstream_latency_seconds", ("0.99",)] == 0.4
    declared = {metric.name: metric for metric in metrics.METRICS}
    assert {(name, len(labels)) for name, labels in found} <= {
        (name, len(metric.labels)) for name, metric in declared.items()
    }
    assert {reading.name: reading.value for reading in readings.ledger(writer)} == {
        "p50_ms": 100,
        "p99_ms": 400,
        "messages_per_second": pytest.approx(2 * 101 / 120),
        "differences": 0,
    }


WATCH = """
import asyncio
from fraudstream_airflow.deadlines import open_incident, within
from fraudstream_airflow.watch import WatchPlatformOperator

asyncio.run(open_incident(**within("snapshot_profiles", 60).callback.kwargs))
print(WatchPlatformOperator(task_id="watch").execute({}))
"""


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    """The server, while it serves."""
    with taken_hooks() as server:
        yield server


def watch(settings: Settings, tmp_path: Path, hooks: Hooks, **variables: str) -> str:
    """Runs the Dag's task in Airflow's environment; its output."""
    environment = {
        "AIRFLOW_HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(PROJECT_DIR / "plugins"), str(PROJECT_DIR)]),
        "FRAUDSTREAM_NOTIFY__URLS": f"json://127.0.0.1:{hooks.server_port}/",
    }
    command = [str(settings.paths.python("airflow")), "-c", WATCH]
    done = subprocess.run(
        command, env=os.environ | environment | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_task_opens_tells_and_closes(
    settings: Settings, writer: Postgres, empty_tables: None, hooks: Hooks, tmp_path: Path
) -> None:
    """Over Airflow's common-sql provider, with the reader's rights, on what real servers hold."""
    writer.execute(DIFFERENCE)
    watch(settings, tmp_path, hooks)
    missed = "deadline snapshot_profiles: a run hadn't ended 60 minutes after it was queued: look at it in Airflow"
    assert {str(found) for found in incidents.open_incidents(writer)} == {
        "books: 1 differences are open; the first: batch 7: rows are missing",
        missed,
    }
    writer.execute("UPDATE fraud.reconciliation_differences SET acknowledged_at = now(), reason = 'mended'")
    watch(settings, tmp_path, hooks, FRAUDSTREAM_WATCH__QUIET_SECONDS="0")
    assert [str(found) for found in incidents.open_incidents(writer)] == [missed]
    assert [(sent["type"], sent["title"].partition(": ")[0]) for _, sent in hooks.posted] == [
        ("warning", "Fraudstream, critical"),
        ("success", "Fraudstream, over"),
    ]
    ((lags,),) = writer.execute("SELECT count(*) FROM fraud.platform_readings WHERE reading = 'lag'").fetchall()
    assert lags == 6


def test_a_check_that_storage_refuses_is_told_and_closes_nothing(
    settings: Settings, writer: Postgres, owner: Postgres, empty_tables: None, hooks: Hooks, tmp_path: Path
) -> None:
    incidents.see(writer, [Fault("unpriced", "", Severity.WARNING, "no rate"), fault()])
    owner.execute("REVOKE SELECT ON fraud.fraud_counts FROM fraud_reader")
    try:
        watch(settings, tmp_path, hooks, FRAUDSTREAM_WATCH__QUIET_SECONDS="0")
    finally:
        roles.grant_tables(settings)
    found = {f"{incident.source} {incident.subject}".strip() for incident in incidents.open_incidents(writer)}
    assert {"unpriced", "unchecked unpriced", "unchecked flagged"} <= found
    assert "books" not in found


def test_what_cannot_be_read_is_told_and_stops_no_check(
    settings: Settings, writer: Postgres, empty_tables: None, hooks: Hooks, tmp_path: Path
) -> None:
    """A policy that isn't one, and a certificate that a renewal left half written, which Kafka's clients refuse."""
    half = tmp_path / "ca.pem"
    half.write_text("-----BEGIN CERTIFICATE-----\nMIIB")
    writer.execute(DIFFERENCE)
    writer.execute(POLICY, {"document": '{"rules": 7}'})
    watch(
        settings,
        tmp_path,
        hooks,
        FRAUDSTREAM_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:9",
        FRAUDSTREAM_KAFKA__SECURITY_PROTOCOL="SSL",
        FRAUDSTREAM_KAFKA__SSL_CA_FILE=str(half),
    )
    found = {f"{incident.source} {incident.subject}".strip(): incident for incident in incidents.open_incidents(writer)}
    assert {"books", "kafka", "policy", "unchecked certificates"} <= set(found)
    assert str(half) in found["unchecked certificates"].text
    ((disks,),) = writer.execute("SELECT count(*) FROM fraud.platform_readings WHERE reading LIKE 'disk%'").fetchall()
    assert disks == 2
