"""Bad input against a running job: it never stops, each message is accounted for, and no card number is kept.

`./fraudctl test integration tests/integration/test_fuzz.py --fuzz-messages 100000 --fuzz-seed 7` for the long form.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from fraudstream.messages.contracts import Topic, Transaction, iso_milliseconds
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.validation import MAX_KEY_BYTES, TOO_LARGE_KEPT_BYTES
from fraudstream.settings import Settings, load_settings
from model.serving.registry import ensure_pretrained
from tests.commands import run_here
from tests.fuzz import Fuzzer, Sent, valid_event
from tests.messages import CARD, as_bytes, transaction
from tests.polling import poll
from tests.streaming import Job, Postgres, accounted, count

MAX_FUTURE = timedelta(seconds=5)
Place = tuple[str, int, int]
OF_PLACE = "FROM fraud.dead_letters WHERE (topic, kafka_partition, kafka_offset) = (%s, %s, %s)"


@pytest.fixture(scope="module")
def settings(emptied: Settings) -> Iterator[Settings]:
    """The suite's servers, emptied: it counts every message. What is ahead of its time is refused for seconds only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRAUDSTREAM_STREAM__MAX_FUTURE_SECONDS", str(int(MAX_FUTURE.total_seconds())))
        yield load_settings()


@pytest.fixture(scope="module")
def job(settings: Settings, database: Postgres) -> Iterator[Job]:
    ensure_pretrained(database, settings.paths.models)
    running = Job(settings)
    yield running
    running.process.kill()
    running.process.wait(60)


class Traffic:
    """Sends messages, and keeps where each of them lies and when Kafka appended it."""

    def __init__(self, settings: Settings) -> None:
        # Larger ones than the platform's own clients send: another team's producer may be set so.
        config: dict[str, Any] = {
            "enable.idempotence": True,
            "message.max.bytes": 20_000_000,
            "compression.type": "lz4",
            "log_level": 0,
        }
        self._producer = Producer(settings.kafka.client_config() | config)
        self.sent: dict[Place, tuple[Sent, int]] = {}

    def send(self, sent: Sent) -> None:
        def note(error: Any, message: Message) -> None:
            assert error is None, error
            place = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
            self.sent[place] = sent, message.timestamp()[1]

        self._producer.produce(sent.topic, sent.value, sent.key, on_delivery=note)
        self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(60) == 0

    def newest(self) -> Place:
        return next(reversed(self.sent))


@pytest.fixture(scope="module")
def traffic(settings: Settings) -> Traffic:
    return Traffic(settings)


def test_each_fuzzed_message_is_accounted_for_and_nothing_stops(
    job: Job, traffic: Traffic, database: Postgres, pytestconfig: pytest.Config
) -> None:
    messages, seed = pytestconfig.getoption("--fuzz-messages"), pytestconfig.getoption("--fuzz-seed")
    job.until(lambda: count(database, "SELECT count(*) FROM fraud.stream_queries"), "the driver")
    for number, sent in enumerate(Fuzzer(seed, datetime.now(UTC)).messages(messages)):
        traffic.send(sent)
        if number % 20_000 == 19_999:
            traffic.flush()
            job.until(lambda: accounted(database) == len(traffic.sent), f"{number + 1} messages")
    traffic.flush()
    assert len(traffic.sent) == messages
    job.until(lambda: accounted(database) == messages, "all messages")
    assert count(database, "SELECT epoch FROM fraud.stream_queries") == 1  # one driver, from the beginning
    _assert_accounted(database, traffic.sent)


def _assert_accounted(database: Postgres, sent: dict[Place, tuple[Sent, int]]) -> None:
    events = {place: valid_event(message, appended, MAX_FUTURE) for place, (message, appended) in sent.items()}
    bad = {place for place, event in events.items() if event is None}
    rows = database.execute("SELECT topic, kafka_partition, kafka_offset, reason, detail FROM fraud.dead_letters")
    letters = {(topic, partition, offset): (reason, detail) for topic, partition, offset, reason, detail in rows}
    assert all(reason in set(DeadLetterReason) and detail for reason, detail in letters.values())
    ids: dict[str, list[Place]] = defaultdict(list)
    for place, event in events.items():
        if event and place[0] == Topic.TRANSACTIONS:
            ids[event["transaction_id"]].append(place)
    stored = database.execute("SELECT transaction_id, kafka_partition, kafka_offset FROM fraud.scored_transactions")
    scored = {name: (Topic.TRANSACTIONS.value, partition, offset) for name, partition, offset in stored}
    assert scored.keys() == ids.keys()
    assert all(place in ids[name] for name, place in scored.items())
    contents = {
        place: msgspec.json.decode(sent[place][0].value or b"", type=Transaction)
        for places in ids.values()
        for place in places
    }
    conflicts = {p for name, places in ids.items() for p in places if contents[p] != contents[scored[name]]}
    assert letters.keys() == bad | conflicts
    assert {p for p, (reason, _) in letters.items() if reason == DeadLetterReason.ID_CONFLICT} == conflicts
    labels = database.execute(
        "SELECT 'transaction-labels', kafka_partition, kafka_offset FROM fraud.transaction_labels"
    )
    assert set(labels) == {p for p, event in events.items() if event and p[0] == Topic.TRANSACTION_LABELS}
    expected = Counter((topic, partition) for topic, partition, _ in sent)
    used = Counter(p[:2] for p, event in events.items() if event and p[0] == Topic.BROWSE_EVENTS)
    repeated = Counter(p[:2] for p in contents.keys() - conflicts - set(scored.values()))
    columns = "topic, kafka_partition, next_offset - first_offset, browse_events, duplicates"
    for topic, partition, read, browsed, duplicates in database.execute(f"SELECT {columns} FROM fraud.stream_offsets"):
        where = topic, partition
        assert (read, browsed, duplicates) == (expected[where], used[where], repeated[where]), where
    reasons = len({reason for reason, _ in letters.values()})
    sys.stdout.write(f"{len(sent)} messages: {len(scored)} scored, {len(bad)} dead letters of {reasons} reasons\n")


def test_messages_larger_than_kafka_lets_us_send_are_kept_in_part(
    job: Job, traffic: Traffic, database: Postgres
) -> None:
    before = accounted(database)
    traffic.send(Sent(Topic.TRANSACTIONS, b"k" * 900_000, b" " * 10_000_000))
    traffic.flush()
    job.until(lambda: accounted(database) == before + 1, "the large message")
    kept = database.execute(f"SELECT redacted, length(key), length(payload) {OF_PLACE}", traffic.newest()).fetchone()
    assert kept == (True, MAX_KEY_BYTES, TOO_LARGE_KEPT_BYTES)


def test_card_numbers_are_in_no_row_no_topic_and_no_log(
    job: Job, traffic: Traffic, database: Postgres, settings: Settings
) -> None:
    before = accounted(database)
    bad = [
        Sent(Topic.TRANSACTIONS, b"c-1", as_bytes(transaction(card_token=f"card:{CARD}"))),
        Sent(Topic.TRANSACTIONS, CARD.encode(), as_bytes(transaction())),
        Sent(Topic.TRANSACTIONS, b"c-1", as_bytes(transaction(customer_id=CARD))),  # quoted in the detail
        Sent(Topic.TRANSACTIONS, b"c-1", as_bytes(transaction(promo_code="4111 1111 1111 1111"))),
        Sent(Topic.BROWSE_EVENTS, b"c-1", b"card 4111 1111-1111 1111 broken"),
    ]
    for sent in bad:
        traffic.send(sent)
    traffic.flush()
    job.until(lambda: accounted(database) == before + len(bad), "the card numbers")
    newest = (
        "SELECT key, payload, detail, redacted FROM fraud.dead_letters ORDER BY batch_id DESC, ingest_time DESC LIMIT 5"
    )
    rows = [
        ((key or b"") + (payload or b"") + detail.encode(), redacted)
        for key, payload, detail, redacted in database.execute(newest)
    ]
    assert all(b"****" in kept and b"4111" not in kept for kept, _ in rows)
    assert all(redacted for _, redacted in rows)
    unpublished = "SELECT count(*) FROM fraud.stream_batches WHERE published_at IS NULL"
    job.until(lambda: not count(database, unpublished), "all to be published")
    published = _published(settings)
    assert b"****" in published
    assert b"4111" not in published
    assert CARD not in job.log.read_text()


def _published(settings: Settings) -> bytes:
    """The last five dead letters of each partition in Kafka: keys, values and headers."""
    consumer = Consumer(settings.kafka.client_config() | {"group.id": "test", "enable.auto.commit": False})
    topic, found = Topic.DEAD_LETTERS, b""
    for partition in consumer.list_topics(topic, 10).topics[topic].partitions:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), 10)
        start = max(0, end - 5)
        consumer.assign([TopicPartition(topic, partition, start)])
        for message in consumer.consume(end - start, 30):
            assert message.error() is None
            found += (message.key() or b"") + (message.value() or b"") + repr(message.headers()).encode()
    consumer.close()
    return found


def test_a_replayed_transaction_is_scored_once_even_when_replayed_twice(
    job: Job, traffic: Traffic, database: Postgres
) -> None:
    before = accounted(database)
    due = datetime.now(UTC) + MAX_FUTURE + timedelta(seconds=5)  # Kafka has it before the last five
    early = transaction(transaction_id="tx-early", event_time=iso_milliseconds(due))
    traffic.send(Sent(Topic.TRANSACTIONS, b"c-1", as_bytes(early)))
    traffic.flush()
    job.until(lambda: accounted(database) == before + 1, "the refusal")
    place = traffic.newest()
    assert database.execute(f"SELECT reason, redacted {OF_PLACE}", place).fetchone() == ("FUTURE_EVENT_TIME", False)
    poll(lambda: datetime.now(UTC) > due - MAX_FUTURE, 30, "the time to come")
    for number, options in enumerate([(), ("--again",)], start=2):
        _replay("--message", "/".join(map(str, place)), *options)
        wanted = before + number
        job.until(lambda wanted=wanted: accounted(database) == wanted, "the replay")
    scored = "SELECT kafka_offset FROM fraud.scored_transactions WHERE transaction_id = 'tx-early'"
    assert [offset for (offset,) in database.execute(scored)] == [place[2] + 1]
    replayed = database.execute("SELECT replayed_offset FROM fraud.dead_letters WHERE replayed_at IS NOT NULL")
    assert replayed.fetchall() == [(place[2] + 2,)]


def test_a_replay_that_is_refused_again_is_a_dead_letter_of_its_own(
    job: Job, traffic: Traffic, database: Postgres
) -> None:
    before = accounted(database)
    traffic.send(Sent(Topic.TRANSACTIONS, b"c-1", as_bytes(transaction(items="replayed in vain"))))
    traffic.flush()
    job.until(lambda: accounted(database) == before + 1, "the refusal")
    topic, partition, offset = traffic.newest()
    _replay("--message", f"{topic}/{partition}/{offset}")
    job.until(lambda: accounted(database) == before + 2, "the second refusal")
    both = database.execute(
        "SELECT again.reason FROM fraud.dead_letters AS first JOIN fraud.dead_letters AS again "
        "ON (again.topic, again.kafka_partition, again.kafka_offset) "
        "= (first.topic, first.kafka_partition, first.replayed_offset) WHERE first.kafka_offset = %s",
        (offset,),
    )
    assert both.fetchall() == [("WRONG_TYPE",)]


def _replay(*arguments: str) -> None:
    done = run_here("fraudstream.dead_letters.replay", *arguments)
    assert "1 sent again" in done.stdout, done.stdout + done.stderr
