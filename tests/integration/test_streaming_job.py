"""The streaming job itself, on real Kafka, Postgres and Spark: everything is scored or refused, exactly once.

And nothing piles up.
"""

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from fraudstream.jobs.jobs import jobs
from fraudstream.ledger import comparison
from fraudstream.ledger.figures import MESSAGES
from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.messages.validation import MAX_MESSAGE_BYTES, TOO_LARGE_KEPT_BYTES
from fraudstream.policy import lists, versions
from fraudstream.policy.changes import Desk
from fraudstream.policy.columns import columns_with
from fraudstream.policy.document import Action, Kind, Policy, Rule, State, Thresholds
from fraudstream.settings import ENV_PREFIX, Settings
from fraudstream.static_data.currencies import Rate
from fraudstream.static_data.publish import publish
from fraudstream.storage.tables.static_data import customers, products
from model.features.columns import FEATURE_NAMES
from model.serving.registry import ensure_pretrained
from spark_jobs.batch_size import MAX_READ_BYTES
from spark_jobs.checkpoint import SUSPICION
from tests.messages import as_bytes, bad_messages, browse_event, label, transaction
from tests.streaming import Job, Postgres, Shop, accounted, buy_one_by_one, count, read_all, scores
from tests.topics import alter, messages, until_times_are_taken

#: Less than the default, so that what just fits there is found.
HEAP_MB = 640
WARM_UP_BATCHES = 4
BATCHES = 15
#: Pools may open a few; a socket a task (SPARK-58932) would be two a micro-batch.
SOCKETS_MORE = 10
#: A plan of another shape may come late; code with a batch's own time in it would be two classes a micro-batch.
CLASSES_MORE = 6
LOADED_CLASSES = "loaded-classes.log"


@pytest.fixture(scope="module")
def settings(emptied: Settings) -> Settings:
    """The suite's servers, emptied: it counts every message."""
    return emptied


@pytest.fixture(scope="module")
def job(settings: Settings, database: Postgres) -> Iterator[list[Job]]:
    """A list of the one running job, so that a test can replace it."""
    ensure_pretrained(database, settings.paths.models)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"{ENV_PREFIX}STREAM__DRIVER_MEMORY_MB", str(HEAP_MB))
        options = os.environ.get("JAVA_TOOL_OPTIONS", "")
        patch.setenv("JAVA_TOOL_OPTIONS", f"{options} -Xlog:class+load:file={settings.paths.logs / LOADED_CLASSES}")
        running = [Job(settings)]
        yield running
        running[-1].end(signal.SIGKILL)


@pytest.fixture(scope="module")
def shop(settings: Settings) -> Shop:
    return Shop(settings)


def test_purchases_are_scored_with_their_session(job: list[Job], shop: Shop, database: Postgres) -> None:
    for number in range(50):
        shop.buy(f"a{number}")
    shop.send(Topic.TRANSACTION_LABELS, b"tx-a0", as_bytes(label(transaction_id="tx-a0")))
    shop.flush()
    job[-1].until(lambda: accounted(database) == shop.sent.total(), "the first purchases")
    rows = database.execute(
        "SELECT DISTINCT fraud_score BETWEEN 0 AND 1, model_version, late FROM fraud.scored_transactions"
    )
    (champion,) = database.execute("SELECT version FROM fraud.model_versions WHERE status = 'champion'").fetchone() or (
        "",
    )
    assert rows.fetchall() == [(True, champion, False)]
    assert count(database, "SELECT count(*) FROM fraud.scored_transactions") == 50
    assert count(database, "SELECT sum(browse_events) FROM fraud.stream_offsets") == 100
    assert count(database, "SELECT count(*) FROM fraud.transaction_labels WHERE is_fraud") == 1


def test_bad_messages_become_dead_letters_and_the_stream_goes_on(
    job: list[Job], shop: Shop, database: Postgres, settings: Settings
) -> None:
    bad = bad_messages(datetime.now(UTC))
    for topic, key, value, _ in bad.values():
        shop.send(topic, key, value)
    shop.buy("after-bad")
    shop.flush()
    job[-1].until(lambda: accounted(database) == shop.sent.total(), "the bad messages")
    expected = Counter(message.reason.value for message in bad.values())
    stored = dict(database.execute("SELECT reason, count(*) FROM fraud.dead_letters GROUP BY 1").fetchall())
    assert stored == dict(expected)
    published = job[-1].until(
        lambda: (found := messages(settings, Topic.DEAD_LETTERS)) and len(found) == expected.total() and found,
        "the dead letters in Kafka",
    )
    assert Counter(headers["reason"].decode() for _, _, headers in published) == expected
    assert {*published[0][2]} == {"reason", "source_topic", "partition", "offset"}
    assert count(database, "SELECT count(*) FROM fraud.scored_transactions WHERE transaction_id = 'tx-after-bad'") == 1


def test_duplicates_are_counted_and_not_stored(job: list[Job], shop: Shop, database: Postgres) -> None:
    now = iso_milliseconds(datetime.now(UTC))
    for _ in range(3):
        shop.buy("twice", transaction_id="tx-twice", event_time=now)
    shop.flush()
    job[-1].until(lambda: accounted(database) == shop.sent.total(), "the duplicates")
    assert count(database, "SELECT count(*) FROM fraud.scored_transactions WHERE transaction_id = 'tx-twice'") == 1
    assert count(database, "SELECT sum(duplicates) FROM fraud.stream_offsets") == 2


def test_a_transaction_that_lacks_things_becomes_a_row_of_nulls(
    job: list[Job], shop: Shop, database: Postgres, settings: Settings
) -> None:
    """From the least that the contract takes, and of another shop, beside browsing of a type of its own."""
    now = iso_milliseconds(datetime.now(UTC))
    least = {"schema_version": 1, "customer_id": "c-least", "event_time": now, "amount": 12.5}
    quiz = {"event_id": "e-quiz", "session_id": "s-quiz", "customer_id": "c-least", "event_type": "quiz"}
    shop.send(Topic.BROWSE_EVENTS, b"c-least", as_bytes(quiz | {"schema_version": 1, "event_time": now}))
    second = {"shop": "second", "payment_method": "Nachnahme", "items": transaction()["items"]}
    for name, more in {"tx-least": {}, "tx-second": second}.items():
        shop.send(Topic.TRANSACTIONS, b"c-least", as_bytes(least | {"transaction_id": name} | more))
    read_all(job[-1], shop, database)
    lacking = (
        "session_id, items, payment_method, card_token, promo_code, promo_amount, shipping_fee, shipping_city, "
        "shipping_country, shipping_latitude, shipping_longitude, ip_country, device_id"
    )
    row = f"SELECT num_nulls({lacking}), currency, shop, exchange_rate FROM fraud.scored_transactions"
    assert database.execute(f"{row} WHERE transaction_id = 'tx-least'").fetchall() == [(13, "EUR", "main", 1)]
    assert database.execute(f"{row} WHERE transaction_id = 'tx-second'").fetchall() == [(11, "EUR", "second", 1)]
    reasons = "SELECT jsonb_path_query_array(reasons, '$[*].feature') FROM fraud.scored_transactions"
    ((told,),) = database.execute(f"{reasons} WHERE transaction_id = 'tx-least'").fetchall()
    assert set(told) <= {"amount", "hour_of_day"}
    said = {key: json.loads(value or b"") for key, value, _ in messages(settings, Topic.SCORED_TRANSACTIONS)}
    assert (said[b"tx-least"]["device_id"], said[b"tx-least"]["shop"]) == (None, "main")
    assert (said[b"tx-second"]["shop"], said[b"tx-second"]["payment_method"]) == ("second", "Nachnahme")
    begin = datetime.fromisoformat(now).replace(minute=0, second=0, microsecond=0)
    assert comparison.hour(database, begin)[1] == []


def publish_rates(database: Postgres, *rates: Rate) -> None:
    """As the Dag does, with customers and products left as they are."""
    nobody, nothing = (pa.table({column.name: [] for column in table.columns}) for table in (customers, products))
    with database.transaction():
        assert publish(database, nobody, nothing, rates).new


def test_published_rates_convert_what_comes_after_them_without_a_restart(
    job: list[Job], shop: Shop, database: Postgres, settings: Settings
) -> None:
    query = "SELECT exchange_rate FROM fraud.scored_transactions WHERE transaction_id = %s"

    def rate_of(name: str) -> float | None:
        shop.buy(name, currency="JPY", amount=145_833, customer_id="c-yen")
        shop.flush()
        job[-1].until(lambda: accounted(database) == shop.sent.total(), name)
        ((rate,),) = database.execute(query, (f"tx-{name}",)).fetchall()
        return None if rate is None else float(rate)

    assert rate_of("yen-0") is None
    today = datetime.now(UTC).date()
    for number, rate in enumerate(("0.0061", "0.0062"), 1):
        publish_rates(database, Rate("JPY", today - timedelta(days=1), Decimal(rate)))
        assert rate_of(f"yen-{number}") == float(rate)
    scored = [json.loads(value or b"") for key, value, _ in messages(settings, Topic.SCORED_TRANSACTIONS) if key]
    amounts = {each["transaction_id"]: each["shop_amount"] for each in scored}
    assert [amounts[f"tx-yen-{number}"] for number in range(3)] == [None, 889.5813, 904.1646]
    unpriced = "SELECT sum(unpriced) FROM fraud.fraud_counts"
    assert count(database, unpriced) == 1


ANY_TIME = str(2**63 - 1)
FAR_AHEAD_MS = 1_795_000_000_000_000  # the year 58852


def decision_of(database: Postgres, name: str) -> tuple[object, ...]:
    """Decision, whether it is by policy, and the live rules that matched."""
    row = database.execute(
        "SELECT decision, policy_version, matched_rules FROM fraud.scored_transactions WHERE transaction_id = %s",
        (f"tx-{name}",),
    ).fetchone()
    assert row is not None
    return row


def test_the_policy_decides_from_the_next_micro_batch_on_and_a_rule_that_fails_is_switched_off(
    job: list[Job], shop: Shop, database: Postgres, settings: Settings
) -> None:
    def buy(name: str, **fields: object) -> tuple[object, ...]:
        shop.buy(name, **fields)
        shop.flush()
        job[-1].until(lambda: accounted(database) == shop.sent.total(), name)
        return decision_of(database, name)

    assert buy("before", device_id="d-bad")[1:] == (None, [])
    desk = Desk(database, columns_with(FEATURE_NAMES), "ann")
    lists.create(database, "bad_devices", Kind.DEVICE, who="ann")
    rules = [
        Rule(name="bad_device", condition="device_id IN list('bad_devices')", action=Action.BLOCK, state=State.LIVE),
        Rule(name="fails", condition="CAST(device_id AS INT) > 1", action=Action.BLOCK, state=State.LIVE),
        Rule(name="tried", condition="amount > 0", action=Action.REVIEW, state=State.SHADOW),
    ]
    version = desk.apply(Policy(thresholds=Thresholds(review=1.0), rules=rules), "a first policy").version
    assert buy("unlisted", device_id="d-bad") == ("allow", version, [])
    lists.add(database, "bad_devices", [lists.Entry("d-bad", "seen twice")], who="ann")
    assert buy("listed", device_id="d-bad") == ("block", version, ["bad_device"])
    ((status, decision, reasons),) = database.execute(
        "SELECT status, decision, jsonb_array_length(reasons) FROM fraud.fraud_alerts "
        "WHERE transaction_id = 'tx-listed'"
    ).fetchall()
    assert (status, decision, reasons) == ("open", "block", 3)
    sold = "SELECT counted_in_sales::int FROM fraud.scored_transactions WHERE transaction_id = 'tx-listed'"
    assert not count(database, sold)
    lists.remove(database, "bad_devices", ["d-bad"], who="ann")
    assert buy("forgiven", device_id="d-bad") == ("allow", version, [])

    ((rule, error),) = database.execute("SELECT rule, error FROM fraud.rule_failures").fetchall()
    assert (rule, "Could not convert string 'd-bad'" in error) == ("fails", True)
    job[-1].until(
        lambda: (found := jobs(settings)["stream"].slot.heartbeat) and "rule fails is switched off" in found.problem,
        "the problem to be told",
    )
    counted = "SELECT rule, state, sum(matched), sum(changed) FROM fraud.rule_counts GROUP BY 1, 2 ORDER BY 1"
    assert database.execute(counted).fetchall() == [("bad_device", "live", 1, 1), ("tried", "shadow", 3, 2)]
    sent = {key: json.loads(value) for key, value, _ in messages(settings, Topic.FRAUD_ALERTS)}[b"tx-listed"]
    assert (sent["decision"], sent["policy_version"], sent["matched_rules"]) == ("block", version, ["bad_device"])
    versions.roll_back(database, 0, author="ann", comment="")
    assert buy("after", device_id="d-bad")[1:] == (version + 1, [])


def test_far_timestamps_are_bounded_and_commit(
    job: list[Job], shop: Shop, database: Postgres, settings: Settings
) -> None:
    """Kafka's, of a topic that somebody changed while the job runs: its next start would be refused."""
    refused = "SELECT count(*) FROM fraud.dead_letters WHERE reason = 'FUTURE_EVENT_TIME'"
    before = count(database, refused)
    alter(settings, Topic.TRANSACTIONS, message_timestamp_type="CreateTime", message_timestamp_after_max_ms=ANY_TIME)
    shop.sent[Topic.TRANSACTIONS] += until_times_are_taken(settings, Topic.TRANSACTIONS)
    now = datetime.now(UTC)
    ahead, behind = transaction(event_time="8000-01-01T00:00:00Z"), transaction(event_time=iso_milliseconds(now))
    shop.send(Topic.TRANSACTIONS, b"c-1", as_bytes(ahead), timestamp=FAR_AHEAD_MS)
    shop.send(Topic.TRANSACTIONS, b"c-1", as_bytes(behind), timestamp=1)
    shop.flush()
    job[-1].until(lambda: accounted(database) == shop.sent.total(), "messages with other times")
    alter(settings, Topic.TRANSACTIONS, message_timestamp_type="LogAppendTime")
    taken = database.execute(
        "SELECT ingest_time FROM fraud.dead_letters WHERE reason = 'FUTURE_EVENT_TIME' ORDER BY ingest_time"
    ).fetchall()
    assert taken[0][0] == datetime.fromtimestamp(0.001, UTC)
    assert len(taken) == before + 2
    assert timedelta(hours=23) < taken[-1][0] - now < timedelta(hours=25)


def test_more_bytes_than_the_driver_has_memory_become_dead_letters(
    job: list[Job], shop: Shop, database: Postgres
) -> None:
    """1.1 GB in a micro-batch or two, more than the heap; compressed, so that Kafka hands many on at once."""
    before = count(database, "SELECT sum(dead_lettered) FROM fraud.stream_offsets")
    value = b"{" + b" " * 900_000
    with job[-1].stopped():
        for number in range(1250):
            shop.send(Topic.BROWSE_EVENTS, f"c-{number}".encode(), value)
        shop.flush()
    job[-1].until(lambda: accounted(database) == shop.sent.total(), "the large messages")
    assert count(database, "SELECT sum(dead_lettered) FROM fraud.stream_offsets") == before + 1250
    kept = database.execute(
        "SELECT DISTINCT length(payload), redacted, detail FROM fraud.dead_letters WHERE detail LIKE '900001 %'"
    ).fetchall()
    assert kept == [(TOO_LARGE_KEPT_BYTES, True, f"900001 bytes; at most {MAX_MESSAGE_BYTES}")]


def test_a_micro_batch_reads_as_many_large_messages_as_fit(job: list[Job], shop: Shop, database: Postgres) -> None:
    """They are valid, and all of them wait when the job looks."""
    (before,) = database.execute("SELECT max(batch_id) FROM fraud.stream_batches").fetchone() or (-1,)
    note = "x" * 120_000
    with job[-1].stopped():
        for number in range(3000):
            event = browse_event(event_id=f"e-large-{number}", customer_id=f"c-{number}", note=note)
            shop.send(Topic.BROWSE_EVENTS, f"c-{number}".encode(), as_bytes(event))
        shop.flush()
    job[-1].until(lambda: accounted(database) == shop.sent.total(), "the large browse events")
    largest = f"SELECT max({MESSAGES}) FROM fraud.stream_batches WHERE batch_id > {before}"
    assert count(database, largest) * len(note) <= MAX_READ_BYTES


def test_a_stop_is_clean(job: list[Job]) -> None:
    assert job[-1].end(signal.SIGTERM) == 0
    assert "Traceback" not in job[-1].log.read_text()


def test_a_killed_job_goes_on_where_it_was(job: list[Job], shop: Shop, database: Postgres, settings: Settings) -> None:
    job.append(Job(settings))
    for number in range(300):
        shop.buy(f"b{number}")
    shop.flush()
    before = accounted(database)
    job[-1].until(lambda: accounted(database) > before, "a batch after the restart")
    job[-1].end(signal.SIGKILL)
    for number in range(300, 400):
        shop.buy(f"b{number}")
    shop.flush()
    (settings.paths.checkpoint / SUSPICION).write_text("a fault that has passed")
    job.append(Job(settings))
    job[-1].until(lambda: accounted(database) == shop.sent.total(), "everything after the kill")
    job[-1].until(
        lambda: not count(database, "SELECT count(*) FROM fraud.stream_batches WHERE published_at IS NULL"),
        "everything published",
    )
    distinct = count(database, "SELECT count(DISTINCT transaction_id) FROM fraud.scored_transactions")
    assert distinct == 50 + 1 + 1 + 2 + 5 + 3 + 400
    published = messages(settings, Topic.SCORED_TRANSACTIONS)
    contents: dict[bytes | None, set[bytes | None]] = {}
    for key, value, _ in published:
        contents.setdefault(key, set()).add(value)
    assert len(contents) == distinct
    assert all(len(values) == 1 for values in contents.values())
    assert json.loads(published[0][1] or b"")["schema_version"] == 1
    assert count(database, "SELECT sum(transactions) FROM fraud.fraud_counts") == distinct


def test_a_suspicion_alone_makes_nothing_anew(job: list[Job], database: Postgres, settings: Settings) -> None:
    """The job before found a note in its checkpoint, has read that whole, and goes on with it."""
    assert "the checkpoint (a fault that has passed): it is read whole" in job[-1].log.read_text()
    assert "it isn't damaged" in job[-1].log.read_text()
    assert not (settings.paths.checkpoint / SUSPICION).exists()
    assert count(database, "SELECT generation FROM fraud.stream_queries") == 0


def test_neither_sockets_nor_classes_pile_up(
    job: list[Job], shop: Shop, database: Postgres, settings: Settings
) -> None:
    buy_one_by_one(WARM_UP_BATCHES, "warm", job[-1], shop, database)
    before, known = job[-1].sockets(), generated_classes(settings)
    buy_one_by_one(BATCHES, "more", job[-1], shop, database)
    after, all_known = job[-1].sockets(), generated_classes(settings)
    assert after - before < SOCKETS_MORE, f"{before} open sockets, and {after} after {BATCHES} more micro-batches"
    assert known, "Spark generates code for its plans, and the JVM tells of it"
    assert all_known - known < CLASSES_MORE, f"{all_known - known} classes compiled in {BATCHES} more micro-batches"


def garble(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(4 * 4096)
        opened.write(b"\xa5" * (file.stat().st_size - 4 * 4096))


def cut_off(file: Path) -> None:
    os.truncate(file, 0)


def remove(file: Path) -> None:
    shutil.rmtree(file.parent)


@pytest.mark.parametrize("harm", [garble, cut_off, remove])
def test_the_workers_copy_of_the_profiles_is_but_a_copy(
    job: list[Job], shop: Shop, database: Postgres, settings: Settings, harm: Callable[[Path], None]
) -> None:
    """What happens to it while the job runs changes no score, and ends no job."""
    begun = datetime.now(UTC) - timedelta(minutes=8)
    name = harm.__name__

    def buy(customer: str, number: int) -> None:
        at = iso_milliseconds(begun + timedelta(minutes=number))
        shop.buy(f"{customer}-{number}", customer_id=customer, event_time=at, amount=10.0 + number)

    for number in range(4):
        for customer in (f"whole-{name}", f"harmed-{name}"):
            buy(customer, number)
    buy(f"whole-{name}", 4)
    read_all(job[-1], shop, database)
    files = list((settings.paths.stream / "scratch").rglob("profile-cache/*/data.mdb"))
    assert len(files) == settings.stream.state_partitions
    for file in files:
        harm(file)
    for customer in (f"harmed-{name}", f"new-{name}"):
        buy(customer, 4)
    read_all(job[-1], shop, database)
    found = scores(database)
    assert found[f"tx-harmed-{name}-4"] == found[f"tx-whole-{name}-4"] != found[f"tx-new-{name}-4"]


def generated_classes(settings: Settings) -> int:
    """Classes that the job's JVM has loaded of code that Spark generated."""
    lines = (settings.paths.logs / LOADED_CLASSES).read_text().splitlines()
    return sum("catalyst.expressions.GeneratedClass" in line for line in lines)
