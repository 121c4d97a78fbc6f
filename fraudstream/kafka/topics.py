"""The platform's topics, created on whichever Kafka is used: the embedded one or your own."""

from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from fraudstream.kafka import access
from fraudstream.kafka.acls import Operation, Resource, Right, missing
from fraudstream.kafka.errors import KafkaRefusedError, KafkaUnavailableError
from fraudstream.messages.contracts import Topic
from fraudstream.settings.kafka import KafkaSettings, Role

#: Every topic's records carry the broker's clock: `ingest_time`, and with it every latency, means arrival.
TOPIC_CONFIG = {"message.timestamp.type": "LogAppendTime"}
REQUEST_SECONDS = 20.0
#: Only whole segments expire, and never the newest: a topic keeps at most an eighth more than it should.
SEGMENTS = 8
MIB = 2**20
#: Kafka's own defaults, which stay the most.
LARGEST_SEGMENT_BYTES = 1024 * MIB
LONGEST_SEGMENT_MS = 24 * 3_600_000
#: All that `retention_config` may set.
RETENTION = ("retention.ms", "segment.ms", "retention.bytes", "segment.bytes")


def create_topics(kafka: KafkaSettings) -> None:
    """Creates the topics that are missing. Existing ones stay as they are: more partitions would move the keys.

    So an administrator may make them beforehand, and the role `admin` then needs no right to. Raises KafkaRefusedError
    when we may not, KafkaUnavailableError for any other failure.
    """
    create(kafka, [topic.value for topic in Topic])


def create(kafka: KafkaSettings, names: Iterable[str]) -> list[str]:
    """Creates those of the topics that are missing, and says which these were. Raises as `create_topics`."""
    kafka = kafka.as_role(Role.ADMIN)
    admin, _ = access.connect(kafka, REQUEST_SECONDS)
    known = admin.list_topics(timeout=REQUEST_SECONDS).topics
    wanted = [_new_topic(kafka, name) for name in names if name not in known]
    if not wanted:
        return []
    for name, future in admin.create_topics(wanted, request_timeout=REQUEST_SECONDS).items():
        try:
            future.result(timeout=REQUEST_SECONDS + 5)
        except KafkaException as error:
            code, said = error.args[0].code(), error.args[0].str()
            if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                lacking = Right(Resource.TOPIC, name, Operation.CREATE)
                raise KafkaRefusedError(missing(Role.ADMIN, lacking, kafka)) from None
            if code in (KafkaError.INVALID_REPLICATION_FACTOR, KafkaError.INVALID_CONFIG, KafkaError.POLICY_VIOLATION):
                raise KafkaRefusedError(
                    f"Kafka at {kafka.bootstrap} doesn't take the topic {name} as it is set ({said}): look at "
                    f"{kafka.setting('replication_factor')}={kafka.replication_factor}, __PARTITIONS, "
                    "__MIN_INSYNC_REPLICAS, __RETENTION_HOURS and __RETENTION_MB"
                ) from None
            if code != KafkaError.TOPIC_ALREADY_EXISTS:
                raise KafkaUnavailableError(f"topic {name} can't be created: {said}") from None
    return [topic.topic for topic in wanted]


def retention_config(kafka: KafkaSettings, partitions: int) -> dict[str, str]:
    """For how long, and how much of it, a topic of so many partitions keeps its messages, in Kafka's words."""
    keep_ms = kafka.retention_hours * 3_600_000
    config = {"retention.ms": str(keep_ms), "segment.ms": str(min(LONGEST_SEGMENT_MS, keep_ms // SEGMENTS))}
    if kafka.retention_mb:
        keep_bytes = kafka.retention_mb * MIB // partitions
        segment = min(LARGEST_SEGMENT_BYTES, max(MIB, keep_bytes // SEGMENTS))
        config |= {"retention.bytes": str(keep_bytes), "segment.bytes": str(segment)}
    return config


def keep_as_set(kafka: KafkaSettings) -> None:
    """Gives topics that exist the retention of today's settings: for a broker of our own, which nobody else sets.

    What the settings leave out becomes Kafka's default again. Raises KafkaUnavailableError.
    """
    kafka = kafka.as_role(Role.ADMIN)
    admin, errors = access.connect(kafka, REQUEST_SECONDS)
    known = admin.list_topics(timeout=REQUEST_SECONDS).topics
    changed = [
        ConfigResource(ResourceType.TOPIC, name, incremental_configs=_entries(kafka, len(known[name].partitions)))
        for name in (topic.value for topic in Topic)
        if name in known
    ]
    for answer in admin.incremental_alter_configs(changed, request_timeout=REQUEST_SECONDS).values():
        try:
            answer.result(timeout=REQUEST_SECONDS + 5)
        except (KafkaException, TimeoutError) as error:
            raise errors.explain(error) from error


def _entries(kafka: KafkaSettings, partitions: int) -> list[ConfigEntry]:
    wanted = retention_config(kafka, partitions)
    change = {name: AlterConfigOpType.SET if name in wanted else AlterConfigOpType.DELETE for name in RETENTION}
    return [ConfigEntry(name, wanted.get(name), incremental_operation=how) for name, how in change.items()]


def _new_topic(kafka: KafkaSettings, name: str) -> NewTopic:
    config = TOPIC_CONFIG | {"min.insync.replicas": str(kafka.min_insync_replicas)}
    return NewTopic(
        name,
        num_partitions=kafka.partitions,
        replication_factor=kafka.replication_factor,
        config=config | retention_config(kafka, kafka.partitions),
    )
