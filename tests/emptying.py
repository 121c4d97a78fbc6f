"""Servers that several modules of tests share, emptied between them."""

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from fraudstream.files import delete
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.kafka.errors import KafkaUnavailableError
from fraudstream.kafka.topics import create_topics
from fraudstream.messages.contracts import Topic
from fraudstream.settings import Settings
from testbed.isolation import truncate_tables
from tests.polling import poll
from tests.streaming import LOG

ANSWER_SECONDS = 60.0


def make_topics_anew(settings: Settings, *topics: Topic) -> None:
    """Deletes topics and creates them again: offsets begin at 0. Without `topics`: all of the platform's."""
    admin, chosen = AdminClient(settings.kafka.client_config()), list(topics or Topic)
    for deleted in admin.delete_topics(chosen).values():
        deleted.result(ANSWER_SECONDS)
    poll(lambda: not set(chosen) & set(admin.list_topics(timeout=10).topics), ANSWER_SECONDS, "the topics to go")

    def created() -> bool:
        try:
            create_topics(settings.kafka)
            kafka_offsets.latest(settings.kafka, chosen, ANSWER_SECONDS)
        except (KafkaException, KafkaUnavailableError):  # the broker goes on deleting, or doesn't lead them yet
            return False
        return True

    poll(created, ANSWER_SECONDS, "the new topics")


def expire(settings: Settings, *topics: Topic) -> None:
    """Lets all messages of the topics expire, as retention would."""
    ends = kafka_offsets.latest(settings.kafka, topics, ANSWER_SECONDS)
    until = [TopicPartition(name, partition, end) for (name, partition), end in ends.items()]
    admin = AdminClient(settings.kafka.client_config())
    for answer in admin.delete_records(until).values():
        answer.result(ANSWER_SECONDS)


def forget_the_stream(settings: Settings) -> None:
    """Deletes all rows, and what stream, training and registry keep in files. No job may run."""
    truncate_tables(settings, kept=("alembic_version",))
    paths = settings.paths
    for folder in (paths.stream, paths.snapshots, paths.models, paths.training, paths.producer, paths.archive):
        for entry in folder.glob("*"):
            delete(entry)
    (paths.logs / LOG).unlink(missing_ok=True)
