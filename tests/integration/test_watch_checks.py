"""The checks of watch_platform on a real Postgres: each check fires on its fault, and on nothing else."""

from collections.abc import Callable, Iterator

import pytest

from fraudstream.settings import Settings
from tests.watched import DIFFERENCE, FAILURE, GIB, LETTERS, LOST, POLICY, RULES, VERDICTS, Platform, Postgres


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
