"""Questions about offsets, to a real broker."""

from confluent_kafka.admin import AdminClient, NewTopic

from fraudstream.kafka.offsets import AppendTimes
from fraudstream.settings import Settings

PARTITIONS = 50
TOPICS = ["just-made-1", "just-made-2", "just-made-3"]


def test_partitions_that_have_no_leader_yet_are_asked_again(settings: Settings) -> None:
    """Kafka says that a topic was made before each of its partitions answers."""
    admin, append_times = AdminClient(settings.kafka.client_config()), AppendTimes(settings.kafka, 60)
    for topic in TOPICS:
        admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result()
        places = [(topic, partition) for partition in range(PARTITIONS)]
        assert append_times.first_since(places, 0) == dict.fromkeys(places)
    for deleted in admin.delete_topics(TOPICS).values():
        deleted.result()
