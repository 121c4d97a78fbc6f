"""Shops' own messages beside ours, on the real job: each is scored once, refused or left out, and the books agree.

A second shop, whose topic has lost its first messages to retention, comes to the same checkpoint later, and a third
one, whose schemas are in a registry.
"""

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from fraudstream.dead_letters.replay import replay
from fraudstream.dead_letters.rows import DeadLetterRows, Place, Selection
from fraudstream.dead_letters.topics import DeadLetterTopics
from fraudstream.jobs.jobs import jobs
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.kafka.sources import missing_sources
from fraudstream.ledger.reconciliation import reconcile
from fraudstream.messages.contracts import Topic
from fraudstream.messages.mapping.sources import input_topics, read_sources
from fraudstream.messages.redaction import is_card_number
from fraudstream.settings import ENV_PREFIX, Settings
from model.serving.registry import ensure_pretrained
from model.training.collect import Period, retained_messages
from tests import registered
from tests.registry import Registry, framed, registry_server
from tests.streaming import Job, Postgres, Shop, StartJob, accounted, count, read_all, refusal

ORDERS, SALES, DISPUTES = "shop-a.orders", "shop-b.sales", "shop-a.disputes"
TOPICS = [ORDERS, SALES, DISPUTES, *registered.TOPICS]
#: Of shop B, gone before the stream first sees the topic.
EXPIRED = 3
A = f"""
[source]
topic = "{ORDERS}"
kind = "transaction"
format = "json"
shop = "a"
[where]
state = ["paid"]
[fields]
transaction_id = {{ path = "order.no", prefix = "a-" }}
customer_id = "order.who.id"
event_time = {{ path = "order.at", time = "epoch_ms" }}
amount = {{ path = "order.total", unit = "minor" }}
currency = {{ path = "order.money", case = "upper" }}
[items]
path = "order.lines"
product_id = "sku"
quantity = "n"
unit_price = {{ path = "each", unit = "minor" }}
"""
B = f"""
[source]
topic = "{SALES}"
kind = "transaction"
format = "json"
shop = "b"
zone = "Europe/Zurich"
[fields]
transaction_id = {{ path = "Beleg", prefix = "b-" }}
customer_id = "Kunde"
event_time = {{ path = "Zeit", time = "%d.%m.%Y %H:%M:%S", zone = "UTC" }}
amount = {{ path = "Betrag", decimal = "," }}
"""
LABELS = f"""
[source]
topic = "{DISPUTES}"
kind = "label"
format = "json"
[fields]
transaction_id = {{ path = "data.order", prefix = "a-" }}
is_fraud = "data.reason"
labelled_at = {{ path = "created", time = "epoch_s" }}
[labels]
fraud = ["fraudulent"]
other = "legitimate"
"""


@pytest.fixture(scope="module")
def folder(emptied: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The sources of shop A; the topics of all shops."""
    folder, admin = tmp_path_factory.mktemp("sources"), AdminClient(emptied.kafka.client_config())
    (folder / "a.toml").write_text(A)
    (folder / "disputes.toml").write_text(LABELS)
    config = {"message.timestamp.type": "LogAppendTime"}
    made = admin.create_topics([NewTopic(topic, 2, 1, config=config) for topic in TOPICS])
    for topic in made.values():
        topic.result(30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"{ENV_PREFIX}SOURCES", str(folder))
        yield folder
    for gone in admin.delete_topics(TOPICS).values():
        gone.result(30)


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with registry_server() as found:
        yield found


@pytest.fixture(scope="module")
def settings(emptied: Settings, folder: Path) -> Settings:
    return emptied.model_copy(update={"sources": folder})


@pytest.fixture
def shop(settings: Settings, database: Postgres) -> Shop:
    ensure_pretrained(database, settings.paths.models)
    return Shop(settings)


def order(number: int, state: str = "paid", **fields: Any) -> bytes:
    lines = [{"sku": f"p-{number}", "n": 1, "each": 1999}]
    content = {"no": number, "who": {"id": f"c-{number % 5}"}, "total": 1999, "money": "eur", "lines": lines}
    now = round(datetime.now(UTC).timestamp() * 1000)
    at = next(ms for ms in range(now, 0, -1) if not is_card_number(str(ms)))  # which would be redacted
    return msgspec.json.encode({"state": state, "order": content | {"at": at} | fields})


def sale(number: int) -> bytes:
    at = f"{datetime.now(UTC):%d.%m.%Y %H:%M:%S}"
    return msgspec.json.encode({"Beleg": number, "Kunde": f"k-{number % 3}", "Zeit": at, "Betrag": "1.234,50"})


def expire_some_sales(settings: Settings, shop: Shop) -> None:
    """The first messages of shop B's topic, of one partition."""
    for number in range(EXPIRED):
        shop.send(SALES, b"one key", sale(100 + number))
    shop.flush()
    ends = kafka_offsets.latest(settings.kafka, [SALES], 30)
    asked = [TopicPartition(topic, partition, end) for (topic, partition), end in ends.items() if end]
    admin = AdminClient(settings.kafka.client_config())
    for gone in admin.delete_records(asked).values():
        gone.result(30)
    shop.sent[SALES] -= EXPIRED


def test_a_topic_that_is_not_there_is_told_at_the_start(
    settings: Settings, shop: Shop, folder: Path, start_job: StartJob
) -> None:
    (folder / "c.toml").write_text(A.replace(ORDERS, "no-such-topic"))
    told = refusal(settings, start_job())
    (folder / "c.toml").unlink()
    assert "c.toml, source.topic = 'no-such-topic'" in told
    assert not list(missing_sources(settings.kafka, read_sources(folder), 30))


def test_every_message_of_three_shops_is_accounted_for_once(
    settings: Settings, shop: Shop, database: Postgres, folder: Path, registry: Registry, start_job: StartJob
) -> None:
    expire_some_sales(settings, shop)
    send(shop, ORDERS, *(order(number) for number in range(10)))
    job = start_job()
    shop.buy("own")
    send(shop, ORDERS, order(3), order(10, total="much"), order(11, state="open"), None, b"{", order(5, total=5))
    read_all(job, shop, database)
    send(shop, ORDERS, *(order(number) for number in range(20, 25)))
    job.end(signal.SIGKILL)

    (folder / "b.toml").write_text(B)
    for topic in registered.TOPICS:
        (folder / f"{topic}.toml").write_text(registered.mapping(topic, registry))
    send(shop, SALES, *(sale(number) for number in range(6)))
    created = int(datetime.now(UTC).timestamp())
    dispute = {"created": created, "data": {"order": 1, "reason": "fraudulent"}}
    send(shop, DISPUTES, msgspec.json.encode(dispute))
    job = start_job()
    shop.buy("own-again")
    read_all(job, shop, database)

    rows = database.execute("SELECT topic, shop, count(*) FROM fraud.scored_transactions GROUP BY 1, 2 ORDER BY 1")
    assert rows.fetchall() == [(ORDERS, "a", 15), (SALES, "b", 6), ("transactions", "main", 2)]
    amounts = "SELECT DISTINCT topic, amount::text, currency FROM fraud.scored_transactions WHERE shop <> 'main'"
    assert set(database.execute(amounts)) == {(ORDERS, "19.99", "EUR"), (SALES, "1234.50", "EUR")}
    dead = "SELECT topic, reason, redacted FROM fraud.dead_letters ORDER BY reason, topic"
    assert database.execute(dead).fetchall() == [
        (ORDERS, "ID_CONFLICT", True),
        (ORDERS, "ID_CONFLICT", True),
        (ORDERS, "MAPPING_FAILED", False),
        (ORDERS, "TRUNCATED_JSON", False),
    ]
    labels = database.execute("SELECT topic, transaction_id, is_fraud FROM fraud.transaction_labels").fetchall()
    assert labels == [(DISPUTES, "a-1", True)]
    books = "SELECT topic, sum(skipped) FROM fraud.stream_offsets WHERE skipped > 0 GROUP BY 1"
    assert database.execute(books).fetchall() == [(ORDERS, 2)]
    assert reconcile(settings, whole=True).differences == []
    for topic in (Topic.SCORED_TRANSACTIONS, Topic.TRANSACTION_FEATURES):
        published = retained_messages(settings, topic, Period(0))  # again with the same bytes, after the kill
        assert len({(message.key(), message.value()) for message in published}) == 23, topic

    replay_refused(settings, database, job, shop)
    read_registered(database, job, shop, registry)
    wait_for_registry(settings, database, job, shop, registry)
    assert reconcile(settings, whole=True).differences == []


def replay_refused(settings: Settings, database: Postgres, job: Job, shop: Shop) -> None:
    """It comes to its own topic again as it was, and the mapping refuses it again."""
    found = "SELECT topic, kafka_partition, kafka_offset FROM fraud.dead_letters WHERE reason = 'MAPPING_FAILED'"
    (refused,) = database.execute(found).fetchall()
    with DeadLetterRows(settings) as rows:
        topics = DeadLetterTopics(settings.kafka, input_topics(settings))
        assert replay(rows, topics, Selection(place=Place(*refused)), lambda _: None) == 1
    shop.sent[ORDERS] += 1
    job.until(lambda: accounted(database) == shop.sent.total(), "the replayed message")
    assert count(database, f"SELECT count(*) FROM ({found}) AS again") == 2


def read_registered(database: Postgres, job: Job, shop: Shop, registry: Registry) -> None:
    """Each format is scored, also with a schema that changes; what can't be read is refused with its own reason."""
    first, change = (registry.register(json.dumps(schema)) for schema in (registered.ORDER, registered.CHANGE))
    proto, text = registry.register(registered.PROTO, "PROTOBUF"), registry.register("{}", "JSON")
    created = {"op": "c", "after": registered.values("c-debezium")}
    deleted = {"op": "d", "after": None}
    send(shop, registered.AVRO, registered.avro(first, registered.ORDER, registered.values("c-avro")))
    send(shop, registered.PROTOBUF, registered.protobuf(proto, registered.values("c-protobuf")))
    send(shop, registered.JSON_SCHEMA, registered.json_schema(text, registered.values("c-json")))
    changes = (registered.avro(change, registered.CHANGE, each) for each in (created, deleted))
    send(shop, registered.DEBEZIUM, *changes, None)
    read_all(job, shop, database)

    later, paid = registry.register(json.dumps(registered.PAID_ORDER)), registered.values("c-later", pay="paypal")
    send(shop, registered.AVRO, registered.avro(later, registered.PAID_ORDER, paid))
    send(shop, registered.AVRO, framed(10**6, b"x"), framed(first, b"x"), b'{"id": "c-bare"}')
    send(shop, registered.PROTOBUF, framed(proto, b"\0\x0a\x7f"), framed(first, b"\0"))
    read_all(job, shop, database)

    found = "SELECT topic, transaction_id, payment_method FROM fraud.scored_transactions WHERE shop = 'c' ORDER BY 2"
    assert database.execute(found).fetchall() == [
        (registered.AVRO, "c-avro", None),
        (registered.DEBEZIUM, "c-debezium", None),
        (registered.JSON_SCHEMA, "c-json", None),
        (registered.AVRO, "c-later", "paypal"),
        (registered.PROTOBUF, "c-protobuf", None),
    ]
    assert refused_of_c(database) == [
        (registered.AVRO, "NO_SCHEMA_REGISTRY_FRAME"),
        (registered.AVRO, "SCHEMA_MISMATCH"),
        (registered.AVRO, "UNKNOWN_SCHEMA"),
        (registered.PROTOBUF, "SCHEMA_MISMATCH"),
        (registered.PROTOBUF, "SCHEMA_MISMATCH"),
    ]


def wait_for_registry(settings: Settings, database: Postgres, job: Job, shop: Shop, registry: Registry) -> None:
    """A registry that is away makes the job wait and say so; it goes on by itself, and nothing is refused for it."""

    def problem() -> str:
        heartbeat = jobs(settings)["stream"].slot.heartbeat
        return heartbeat.problem if heartbeat else ""

    refused, before = refused_of_c(database), accounted(database)
    newest = registered.PAID_ORDER | {"name": "Renamed"}
    registry.fails, number = True, registry.register(json.dumps(newest))
    send(shop, registered.AVRO, registered.avro(number, newest, registered.values("c-waits", pay="card")))
    shop.flush()
    job.until(lambda: registry.url in problem(), "the registry in the heartbeat")
    assert f"messages of {registered.AVRO}" in problem()
    assert "fails (HTTP 503)" in job.log.read_text()
    assert accounted(database) == before
    registry.fails = False
    shop.buy("behind")
    read_all(job, shop, database)
    job.until(lambda: not problem(), "a heartbeat without a problem")
    waited = "SELECT count(*) FROM fraud.scored_transactions WHERE transaction_id IN ('c-waits', 'tx-behind')"
    assert count(database, waited) == 2
    assert refused_of_c(database) == refused


def refused_of_c(database: Postgres) -> list[tuple[str, str]]:
    found = "SELECT topic, reason FROM fraud.dead_letters WHERE topic LIKE 'shop-c.%' ORDER BY 1, 2"
    return database.execute(found).fetchall()


def send(shop: Shop, topic: str, *values: bytes | None) -> None:
    """With keys that say nothing of the customer."""
    for number, value in enumerate(values):
        shop.send(topic, f"key-{number}".encode(), value)
    shop.flush()
