"""Checks the settings of the topics that exist, before the streaming job starts on them.

Whoever may not DESCRIBE_CONFIGS of a topic goes on unchecked, and is told: the job bounds every timestamp and size by
itself, and a gap between offsets fails its accounting, so that the check only says it sooner and better.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, ResourceType

from fraudstream.kafka import access
from fraudstream.kafka.acls import OUTPUT_TOPICS, Operation, Resource, Right, missing
from fraudstream.kafka.errors import KafkaRefusedError
from fraudstream.messages.contracts import INPUT_TOPICS
from fraudstream.settings.kafka import KafkaSettings, Role

#: A larger message would be read whole, and refused: `fraudstream.messages.validation.MAX_MESSAGE_BYTES`.
MAX_INPUT_BYTES = 10 * 1024 * 1024
#: The largest dead letter with its key and headers.
MIN_OUTPUT_BYTES = 160 * 1024
_ANSWER_SECONDS = 10.0


class _Rule(NamedTuple):
    """What a setting has to be, and why; `wanted` is a value that is right."""

    setting: str
    is_right: Callable[[str], bool]
    wanted: str
    why: str


_READ = (
    _Rule(
        "message.timestamp.type",
        lambda value: value == "LogAppendTime",
        "LogAppendTime",
        "what is late, and who is forgotten, goes by the broker's clock, not by each producer's",
    ),
    _Rule(
        "cleanup.policy",
        lambda value: "compact" not in value,
        "delete",
        "compaction takes messages out, and the accounting counts every offset",
    ),
    _Rule(
        "max.message.bytes",
        lambda value: int(value) <= MAX_INPUT_BYTES,
        "1048588",
        f"a micro-batch of messages above {MAX_INPUT_BYTES} bytes can outlast the job's memory and patience",
    ),
)
_WRITTEN = (
    _Rule(
        "max.message.bytes",
        lambda value: int(value) >= MIN_OUTPUT_BYTES,
        "1048588",
        f"a result may have {MIN_OUTPUT_BYTES} bytes, and one that Kafka doesn't take stops the job",
    ),
)
_RULES: dict[str, tuple[_Rule, ...]] = {
    **{topic.value: _READ for topic in INPUT_TOPICS},
    **{topic.value: _WRITTEN for topic in OUTPUT_TOPICS},
}


def check(kafka: KafkaSettings, seconds: float, mapped: Sequence[str] = ()) -> list[str]:
    """Raises KafkaRefusedError naming the first setting of a topic with which the stream can't work.

    `mapped` are the topics of a shop's own form, which are read as ours are.

    Returns a line on what couldn't be looked at; and raises as `access.connect` does. A topic that doesn't exist yet is
    somebody else's finding.
    """
    mine = kafka.as_role(Role.STREAM)
    admin, errors = access.connect(mine, seconds)
    rules = _RULES | dict.fromkeys(mapped, _READ)
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in rules]
    hidden = []
    for resource, answer in admin.describe_configs(asked, request_timeout=_ANSWER_SECONDS).items():
        try:
            found = answer.result(_ANSWER_SECONDS)
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                hidden.append(resource.name)
            elif code != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise errors.explain(error) from error
        except TimeoutError as error:
            raise errors.explain(error) from error
        else:
            values = {name: entry.value for name, entry in found.items()}
            _judge(resource.name, rules[resource.name], values, mine)
    if not hidden:
        return []
    lacking = Right(Resource.TOPIC, hidden[0], Operation.DESCRIBE_CONFIGS)
    return [f"the settings of {', '.join(hidden)} weren't checked: {missing(Role.STREAM, lacking, mine)}"]


def _judge(topic: str, rules: Sequence[_Rule], found: Mapping[str, str | None], kafka: KafkaSettings) -> None:
    for rule in rules:
        value = found.get(rule.setting)
        if value is not None and not rule.is_right(value):
            raise KafkaRefusedError(
                f"the topic {topic} has {rule.setting}={value}, but {rule.why}: kafka-configs.sh --bootstrap-server "
                f"{kafka.bootstrap} --command-config admin.properties --alter --topic {topic} "
                f"--add-config {rule.setting}={rule.wanted}"
            )
