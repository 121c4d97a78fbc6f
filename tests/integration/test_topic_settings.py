"""The settings of Kafka's topics: what the stream can't work with is named, with the command that mends it."""

import pytest

from fraudstream.kafka import topic_settings
from fraudstream.kafka.errors import KafkaRefusedError
from fraudstream.messages.contracts import Topic
from fraudstream.settings import Settings
from tests.topics import alter


@pytest.mark.parametrize(
    ("topic", "setting", "wrong", "right"),
    [
        (Topic.BROWSE_EVENTS, "message_timestamp_type", "CreateTime", "LogAppendTime"),
        (Topic.TRANSACTIONS, "cleanup_policy", "compact,delete", "delete"),
        (Topic.TRANSACTION_LABELS, "max_message_bytes", "20000000", "1048588"),
        (Topic.DEAD_LETTERS, "max_message_bytes", "100000", "1048588"),
    ],
)
def test_a_topic_that_the_stream_cannot_work_with_is_named(
    settings: Settings, topic: Topic, setting: str, wrong: str, right: str
) -> None:
    assert topic_settings.check(settings.kafka, 10) == []
    alter(settings, topic, **{setting: wrong})
    name = setting.replace("_", ".")
    with pytest.raises(KafkaRefusedError) as refused:
        topic_settings.check(settings.kafka, 10)
    alter(settings, topic, **{setting: right})
    for part in (f"topic {topic} has {name}={wrong}", f"--add-config {name}={right}"):
        assert part in str(refused.value)
