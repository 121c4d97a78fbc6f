"""Replaying dead letters on a real Kafka and Postgres: once, also when the run before was killed half-way."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from fraudstream.dead_letters.rows import DeadLetterRows, Letter, Place
from fraudstream.dead_letters.topics import DeadLetterTopics
from fraudstream.kafka.offsets import latest
from fraudstream.messages.contracts import Topic
from fraudstream.settings import PROJECT_DIR, Settings
from fraudstream.storage.connect import connect
from tests.commands import run_here
from tests.polling import poll

Postgres = psycopg.Connection[Any]
pytestmark = pytest.mark.usefixtures("empty_tables")

DEAD = """
    INSERT INTO fraud.dead_letters (topic, kafka_partition, kafka_offset, reason, detail, key, payload, redacted,
                                    ingest_time, batch_id)
    VALUES (%s, 0, %s, %s, 'a detail', %s, %s, %s, %s, 7)
"""
REPLAYED = "SELECT count(*) FROM fraud.dead_letters WHERE replayed_at IS NOT NULL"
MODULE = "fraudstream.dead_letters.replay"


@pytest.fixture
def start(settings: Settings) -> int:
    """Where the partition of the test's dead letters ends."""
    return poll(lambda: latest(settings.kafka, [Topic.TRANSACTIONS], 10), 60, "the topics")["transactions", 0]


@pytest.fixture
def hanging_confirmation(settings: Settings) -> Iterator[None]:
    """Nothing is confirmed: Postgres takes a minute over it."""
    with connect(settings, settings.postgres.admin, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_sleep(60); RETURN NEW; END'"
        )
        admin.execute(
            "CREATE TRIGGER dawdle BEFORE UPDATE ON fraud.dead_letters FOR EACH ROW "
            "WHEN (NEW.replayed_at IS NOT NULL) EXECUTE FUNCTION public.dawdle()"
        )
        yield
        admin.execute("DROP FUNCTION public.dawdle CASCADE")


def dead(
    writer: Postgres,
    offset: int,
    reason: str = "NO_ITEMS",
    *,
    key: bytes | None = b"c-1",
    value: bytes | None = b"{}",
    redacted: bool = False,
    at: str = "2026-03-01T12:00:00Z",
) -> None:
    writer.execute(DEAD, ("transactions", offset, reason, key, value, redacted, at))


def run(*arguments: str, fails: bool = False) -> str:
    done = run_here(MODULE, *arguments)
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def sent(settings: Settings, start: int) -> list[tuple[bytes | None, bytes | None, Any]]:
    """Key, value and headers of what lies in the partition from `start` on."""
    end = latest(settings.kafka, [Topic.TRANSACTIONS], 10)["transactions", 0]
    consumer = Consumer(settings.kafka.client_config() | {"group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(Topic.TRANSACTIONS, 0, start)])
    found = [message for _ in range(start, end) if (message := consumer.poll(10)) is not None]
    consumer.close()
    return [(message.key(), message.value(), message.headers()) for message in found]


def test_chosen_ones_are_sent_as_they_were_and_confirmed(settings: Settings, writer: Postgres, start: int) -> None:
    dead(writer, 1, value=b'{"a": 1}')
    dead(writer, 2, "MISSING_KEY", key=None)
    dead(writer, 3, "EMPTY_VALUE", value=None)
    dead(writer, 4, "WRONG_TYPE")
    assert "3 sent again" in run("--reasons", "NO_ITEMS,MISSING_KEY,EMPTY_VALUE")
    assert sent(settings, start) == [
        (b"c-1", b'{"a": 1}', [("replay_of", b"transactions/0/1")]),
        (None, b"{}", [("replay_of", b"transactions/0/2")]),
        (b"c-1", None, [("replay_of", b"transactions/0/3")]),
    ]
    replayed = writer.execute("SELECT replayed_offset FROM fraud.dead_letters ORDER BY kafka_offset").fetchall()
    assert replayed == [(start,), (start + 1,), (start + 2,), (None,)]


def test_a_repeat_sends_nothing_unless_it_is_asked_for(settings: Settings, writer: Postgres, start: int) -> None:
    dead(writer, 1)
    run("--reasons", "NO_ITEMS")
    assert "0 sent again" in run("--reasons", "NO_ITEMS")
    assert len(sent(settings, start)) == 1
    assert "1 sent again" in run("--reasons", "NO_ITEMS", "--again")
    assert len(sent(settings, start)) == 2


@pytest.mark.parametrize(
    ("arguments", "offsets"),
    [
        (["--from", "2026-03-02"], [2, 3]),
        (["--until", "2026-03-02T00:00:00Z"], [1]),
        (["--from", "2026-03-01", "--until", "2026-03-03", "--reasons", "WRONG_TYPE"], [2]),
        (["--message", "transactions/0/3"], [3]),
        (["--from", "2026-03-01", "--limit", "2"], [1, 2]),
    ],
)
def test_they_are_chosen_by_reason_time_and_place(
    settings: Settings, writer: Postgres, start: int, arguments: list[str], offsets: list[int]
) -> None:
    dead(writer, 1)
    dead(writer, 2, "WRONG_TYPE", at="2026-03-02T00:00:00Z")
    dead(writer, 3, at="2026-03-05T00:00:00Z")
    told = run(*arguments, "--dry-run")
    assert [offset for offset in (1, 2, 3) if f"transactions/0/{offset} " in told] == offsets
    assert f"{len(offsets)} would be sent" in told
    assert not sent(settings, start)
    assert writer.execute("SELECT count(replay_claimed_at) FROM fraud.dead_letters").fetchone() == (0,)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say which ones"),
        (["--reasons", "BAD_LUCK"], "no reason 'BAD_LUCK'"),
        (["--message", "transactions"], "write TOPIC/PARTITION/OFFSET"),
        (["--message", "scored-transactions/0/1"], "no topic 'scored-transactions' is read"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: Settings, arguments: list[str], said: str) -> None:
    assert said in run(*arguments, fails=True)


def test_what_was_redacted_is_not_sent(settings: Settings, writer: Postgres, start: int) -> None:
    dead(writer, 1, redacted=True)
    assert "transactions/0/1" in run("--reasons", "NO_ITEMS", fails=True)
    dead(writer, 2)
    told = run("--reasons", "NO_ITEMS")
    assert "1 can't be sent again, since card numbers were masked" in told
    assert [headers for _, _, headers in sent(settings, start)] == [[("replay_of", b"transactions/0/2")]]


def test_a_run_killed_before_it_confirmed_is_settled_by_the_next(
    settings: Settings, writer: Postgres, start: int, hanging_confirmation: None
) -> None:
    for offset in (1, 2):
        dead(writer, offset)
    killed = subprocess.Popen([sys.executable, "-m", MODULE, "--reasons", "NO_ITEMS"], cwd=PROJECT_DIR)
    poll(lambda: len(sent(settings, start)) == 2, 60, "the messages in Kafka")
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    assert writer.execute(REPLAYED).fetchone() == (0,)
    with connect(settings, settings.postgres.admin, autocommit=True) as admin:
        admin.execute("DROP TRIGGER dawdle ON fraud.dead_letters")
    writer.execute("UPDATE fraud.dead_letters SET replay_claimed_at = now() - interval '1 minute'")
    told = poll(lambda: _settled(), 30, "the killed run's lock to be free")
    assert "2 of them had been sent, and are confirmed; 0 had not" in told
    assert len(sent(settings, start)) == 2
    assert writer.execute("SELECT array_agg(replayed_offset ORDER BY 1) FROM fraud.dead_letters").fetchone() == (
        [start, start + 1],
    )


def _settled() -> str:
    done = run_here(MODULE, "--reasons", "NO_ITEMS")
    assert done.returncode == 0 or "another replay" in done.stderr, done.stderr
    return done.stdout


def test_a_run_killed_before_it_sent_all_is_completed_by_the_next(
    settings: Settings, writer: Postgres, start: int
) -> None:
    for offset in (1, 2, 3):
        dead(writer, offset)
    topics = DeadLetterTopics(settings.kafka)
    with DeadLetterRows(settings) as rows:
        letters = rows.claim([Place("transactions", 0, offset) for offset in (1, 2, 3)], topics.ends())
        topics.send(letters[1:2])
        writer.execute("UPDATE fraud.dead_letters SET replay_claimed_at = now() - interval '1 minute'")
    told = run("--message", "transactions/0/1")
    assert "1 of them had been sent, and are confirmed; 2 had not" in told
    assert "1 sent again" in told
    assert "1 sent again" in run("--reasons", "NO_ITEMS")
    refs = [dict(headers)["replay_of"] for _, _, headers in sent(settings, start)]
    assert refs == [b"transactions/0/2", b"transactions/0/1", b"transactions/0/3"]


def test_an_earlier_replay_is_not_taken_for_the_interrupted_one(
    settings: Settings, writer: Postgres, start: int
) -> None:
    dead(writer, 1)
    run("--reasons", "NO_ITEMS")
    topics, place = DeadLetterTopics(settings.kafka), Place("transactions", 0, 1)
    with DeadLetterRows(settings) as rows:
        assert rows.claim([place], topics.ends()) == [Letter(place, b"c-1", b"{}")]
        assert topics.find(rows.claimed()) == {}


def test_one_replay_runs_at_a_time(settings: Settings) -> None:
    with DeadLetterRows(settings):
        assert "another replay of dead letters is running" in run("--reasons", "NO_ITEMS", fails=True)
    assert "0 sent again" in run("--reasons", "NO_ITEMS")
