"""The messages of a backlog, rewritten as a shop of its own would send them, and the mappings that read them.

Other names, nested objects, milliseconds since 1970 and minor units; what a message says stays the same.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.measuring.stream import BenchmarkError, Stream
from fraudstream.kafka import access
from fraudstream.kafka.topics import TOPIC_CONFIG, create_topics
from fraudstream.mappings.suggest import to_toml
from fraudstream.messages.contracts import Topic
from fraudstream.settings.kafka import Role

ORDERS, CLICKS, DISPUTES = "shop.orders", "shop.clicks", "shop.disputes"
ANSWER_SECONDS = 30.0
MAPPINGS: dict[str, dict[str, Any]] = {
    ORDERS: {
        "source": {"topic": ORDERS, "kind": "transaction", "format": "json"},
        "fields": {
            "transaction_id": "order.id",
            "session_id": "order.session",
            "customer_id": "order.customer.id",
            "event_time": {"path": "order.created", "time": "epoch_ms"},
            "amount": {"path": "order.total", "unit": "minor"},
            "currency": {"path": "order.currency", "case": "upper"},
            "payment_method": {"path": "order.gateway", "map": {"visa": "card", "pp": "paypal"}},
            "card_token": "order.token",
            "promo_code": "order.coupon",
            "promo_amount": {"path": "order.discount", "default": 0},
            "shipping_fee": {"path": "order.shipping.fee", "default": 0},
            "shipping_city": "order.shipping.city",
            "shipping_country": "order.shipping.country",
            "shipping_latitude": "order.shipping.position[0]",
            "shipping_longitude": "order.shipping.position[1]",
            "ip_country": "order.ip_country",
            "device_id": "order.device",
        },
        "items": {
            "path": "order.lines",
            "product_id": "sku",
            "quantity": "count",
            "unit_price": {"path": "price", "unit": "minor"},
        },
    },
    CLICKS: {
        "source": {"topic": CLICKS, "kind": "browse", "format": "json"},
        "fields": {
            "event_id": "id",
            "session_id": "visit.session",
            "customer_id": "visit.user",
            "event_type": "name",
            "event_time": {"path": "at", "time": "epoch_ms"},
            "product_id": "product",
            "traffic_source": "visit.source",
            "device_id": "visit.device.id",
            "device_type": "visit.device.kind",
        },
    },
    DISPUTES: {
        "source": {"topic": DISPUTES, "kind": "label", "format": "json"},
        "fields": {
            "transaction_id": "order",
            "is_fraud": "fraud",
            "labelled_at": {"path": "at", "time": "epoch_ms"},
            "source": "by",
        },
    },
}


def _milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def _order(event: dict[str, Any]) -> dict[str, Any]:
    shipping = {
        "fee": event["shipping_fee"],
        "city": event["shipping_city"],
        "country": event["shipping_country"],
        "position": [event["shipping_latitude"], event["shipping_longitude"]],
    }
    lines = [
        {"sku": item["product_id"], "count": item["quantity"], "price": round(item["unit_price"] * 100)}
        for item in event["items"]
    ]
    order = {
        "id": event["transaction_id"],
        "session": event["session_id"],
        "customer": {"id": event["customer_id"]},
        "created": _milliseconds(event["event_time"]),
        "total": round(event["amount"] * 100),
        "currency": event["currency"],
        "lines": lines,
        "gateway": event["payment_method"],
        "token": event["card_token"],
        "coupon": event["promo_code"],
        "discount": event["promo_amount"],
        "shipping": shipping,
        "ip_country": event["ip_country"],
        "device": event["device_id"],
    }
    return {"type": "order.paid", "order": order}


def _click(event: dict[str, Any]) -> dict[str, Any]:
    device = {"id": event["device_id"], "kind": event["device_type"]}
    visit = {"session": event["session_id"], "user": event["customer_id"], "source": event["traffic_source"]}
    return {
        "id": event["event_id"],
        "name": event["event_type"],
        "at": _milliseconds(event["event_time"]),
        "product": event["product_id"],
        "visit": visit | {"device": device},
    }


def _dispute(event: dict[str, Any]) -> dict[str, Any]:
    at = _milliseconds(event["labelled_at"])
    return {"order": event["transaction_id"], "fraud": event["is_fraud"], "at": at, "by": event["source"]}


_TOPICS = {Topic.TRANSACTIONS: ORDERS, Topic.BROWSE_EVENTS: CLICKS, Topic.TRANSACTION_LABELS: DISPUTES}
_FORMS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    Topic.TRANSACTIONS: _order,
    Topic.BROWSE_EVENTS: _click,
    Topic.TRANSACTION_LABELS: _dispute,
}


def rewrite(stream: Stream) -> None:
    """Moves what lies in the platform's own topics to the shop's, and has `stream` read these by their mappings.

    Raises BenchmarkError when Kafka stops answering.
    """
    kafka = stream.settings.kafka.as_role(Role.ADMIN)
    admin, _ = access.connect(kafka, ANSWER_SECONDS)
    _create(admin, kafka.partitions)
    producer = Producer(kafka.client_config() | {"linger.ms": 50, "queue.buffering.max.messages": 500_000})
    for message in _messages(stream, Consumer(kafka.client_config() | {"group.id": "rewrite"})):
        _send(producer, _TOPICS[Topic(str(message.topic()))], _rewritten(message), message)
    if left := producer.flush(ANSWER_SECONDS):
        raise BenchmarkError(f"Kafka didn't take {left} rewritten messages within {ANSWER_SECONDS:.0f} s")
    for future in admin.delete_topics([topic.value for topic in _TOPICS]).values():
        future.result()
    while _TOPICS.keys() & admin.list_topics(timeout=ANSWER_SECONDS).topics.keys():
        time.sleep(0.2)
    create_topics(kafka)
    stream.read_also(_written_mappings(stream), tuple(MAPPINGS))


def _create(admin: AdminClient, partitions: int) -> None:
    topics = [NewTopic(topic, partitions, 1, config=TOPIC_CONFIG) for topic in MAPPINGS]
    for future in admin.create_topics(topics).values():
        future.result()


def _messages(stream: Stream, consumer: Consumer) -> Iterator[Message]:
    """All that lies in the platform's own topics."""
    ends = {place: end for place, end in stream.ends().items() if end}
    consumer.assign([TopicPartition(*place, 0) for place in ends])
    left = set(ends)
    while left:
        message = consumer.poll(ANSWER_SECONDS)
        if message is None or message.error():
            raise BenchmarkError(f"Kafka stopped answering: {message and message.error()}")
        yield message
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if (topic, partition) in ends and (offset or 0) + 1 >= ends[str(topic), int(partition or 0)]:
            left.discard((str(topic), int(partition or 0)))
    consumer.close()


def _rewritten(message: Message) -> bytes | None:
    """The shop's form of a message; what was broken on purpose stays as it is."""
    with suppress(ValueError, KeyError, TypeError):
        return msgspec.json.encode(_FORMS[str(message.topic())](msgspec.json.decode(message.value() or b"")))
    return message.value()


def _send(producer: Producer, topic: str, value: bytes | None, message: Message) -> None:
    while True:
        try:
            producer.produce(topic, value, message.key(), partition=int(message.partition() or 0))
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def _written_mappings(stream: Stream) -> Path:
    folder = stream.settings.var_dir / "sources"
    folder.mkdir()
    for topic, mapping in MAPPINGS.items():
        (folder / f"{topic}.toml").write_text(to_toml(mapping), encoding="utf-8")
    return folder
