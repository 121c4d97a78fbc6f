"""Incidents, readings and metrics of watch_platform on a real Postgres, and the task as Airflow runs it."""

import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fraudstream.errors import UsageError
from fraudstream.settings import PROJECT_DIR, Settings
from fraudstream.storage import roles
from fraudstream.storage.connect import connect
from fraudstream.watch import incidents, messages, metrics, readings
from fraudstream.watch.checks import Fault, Severity
from fraudstream.watch.incidents import Incident
from fraudstream.watch.readings import Reading
from tests.commands import fraudctl
from tests.hooks import Hooks, taken_hooks
from tests.watched import BATCH, DIFFERENCE, POLICY, Postgres


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
