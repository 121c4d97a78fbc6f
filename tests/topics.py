"""Kafka's topics, whose settings tests change, and whose messages they read."""

from confluent_kafka import TIMESTAMP_CREATE_TIME, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from fraudstream.messages.contracts import Topic
from fraudstream.settings import Settings
from tests.polling import poll


def messages(settings: Settings, topic: Topic) -> list[tuple[bytes | None, bytes | None, dict[str, bytes]]]:
    """All messages of a topic: key, value, headers."""
    consumer = Consumer(settings.kafka.client_config() | {"group.id": "test", "enable.auto.commit": False})
    partitions = [TopicPartition(topic, p, 0) for p in consumer.list_topics(topic, 10).topics[topic].partitions]
    ends = {p.partition: consumer.get_watermark_offsets(p, 10)[1] for p in partitions}
    consumer.assign(partitions)
    found = []
    while len(found) < sum(ends.values()):
        message = consumer.poll(10)
        assert message is not None, f"{topic}: {len(found)} of {sum(ends.values())}"
        assert message.error() is None
        found.append((message.key(), message.value(), dict(message.headers() or [])))
    consumer.close()
    return found


def alter(settings: Settings, topic: Topic, **changed: str) -> None:
    """Sets a topic's settings anew; those that aren't given are Kafka's defaults."""
    entries = [
        ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for name, value in changed.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic.value, incremental_configs=entries)
    admin = AdminClient(settings.kafka.client_config())
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result(10)


def until_times_are_taken(settings: Settings, topic: Topic) -> int:
    """The broker goes by a topic's changed setting a moment after it has answered. Returns how many were sent to it."""
    producer, kinds = Producer(settings.kafka.client_config()), []

    def is_taken() -> bool:
        producer.produce(topic, b"{", timestamp=1, on_delivery=lambda _, sent: kinds.append(sent.timestamp()[0]))
        assert producer.flush(60) == 0
        return kinds[-1:] == [TIMESTAMP_CREATE_TIME]

    poll(is_taken, 60, f"{topic} with the sender's times")
    return len(kinds)
