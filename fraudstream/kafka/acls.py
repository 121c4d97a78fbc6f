"""The rights of each role in Kafka.

The one declaration that `fraudctl kafka-acls`, docs/kafka.md, the check of rights before a start, and the tests on a
broker with ACLs all read.
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from fraudstream.messages.contracts import INPUT_TOPICS, Topic
from fraudstream.settings.kafka import KafkaSettings, Role


class Operation(StrEnum):
    """ACL operations, as Kafka spells them. Whoever may READ or WRITE may also DESCRIBE."""

    CREATE = "CREATE"
    DESCRIBE = "DESCRIBE"
    DESCRIBE_CONFIGS = "DESCRIBE_CONFIGS"
    READ = "READ"
    WRITE = "WRITE"


class Resource(StrEnum):
    """Kinds of resources with ACLs, as `kafka-acls.sh` spells them."""

    TOPIC = "topic"
    GROUP = "group"


class ConsumerGroup(StrEnum):
    """Names of our consumers' groups."""

    AIRFLOW = "fraudstream-airflow"
    ARCHIVE = "fraudstream-archive"
    COLLECT = "model-collect"
    REPLAY = "replay_dead_letters"
    SESSIONS = "alert-sessions"


@dataclass(frozen=True)
class Right:
    """To do `operation` on the topic or group `name`."""

    resource: Resource
    name: str
    operation: Operation

    def __str__(self) -> str:
        return f"{self.operation} on {self.resource} {self.name}"


#: Topics to which the simulated shop, or a recording that is replayed, sends.
PRODUCER_TOPICS = (*INPUT_TOPICS, Topic.SIMULATION_TRUTH)
#: Topics to which the streaming job publishes.
OUTPUT_TOPICS = (
    *(Topic.SCORED_TRANSACTIONS, Topic.TRANSACTION_FEATURES, Topic.FRAUD_ALERTS, Topic.FRAUD_ALERT_BELL),
    *(Topic.TOP_PRODUCTS, Topic.DEAD_LETTERS),
)


def _topics(operation: Operation, topics: Iterable[str]) -> tuple[Right, ...]:
    return tuple(Right(Resource.TOPIC, str(topic), operation) for topic in topics)


def _group(group: ConsumerGroup) -> tuple[Right, ...]:
    return (Right(Resource.GROUP, group.value, Operation.READ),)


RIGHTS: dict[Role, tuple[Right, ...]] = {
    Role.ADMIN: _topics(Operation.CREATE, Topic) + _topics(Operation.DESCRIBE, Topic),
    Role.PRODUCER: _topics(Operation.WRITE, PRODUCER_TOPICS),
    Role.STREAM: (
        _topics(Operation.READ, INPUT_TOPICS)
        + _topics(Operation.WRITE, OUTPUT_TOPICS)
        + _topics(Operation.DESCRIBE_CONFIGS, (*INPUT_TOPICS, *OUTPUT_TOPICS))
    ),
    Role.ALERTS: _topics(Operation.READ, [Topic.FRAUD_ALERTS, Topic.FRAUD_ALERT_BELL]) + _group(ConsumerGroup.AIRFLOW),
    Role.REPLAY: (
        _topics(Operation.READ, INPUT_TOPICS)
        + _topics(Operation.WRITE, INPUT_TOPICS)
        + _group(ConsumerGroup.REPLAY)
    ),
    Role.READER: (
        _topics(Operation.READ, (*PRODUCER_TOPICS, Topic.TRANSACTION_FEATURES))
        + _group(ConsumerGroup.COLLECT)
        + _group(ConsumerGroup.ARCHIVE)
        + _group(ConsumerGroup.SESSIONS)
    ),
}  # fmt: skip

#: What roles do with a topic of a shop's own form (`fraudstream.messages.mapping.sources`).
_OF_SOURCES = {
    Role.STREAM: (Operation.READ, Operation.DESCRIBE_CONFIGS),
    Role.REPLAY: (Operation.READ, Operation.WRITE),
    Role.READER: (Operation.READ,),
}

#: Operations whose lack stops nobody: what they would show stays unchecked.
DISPENSABLE = frozenset({Operation.DESCRIBE_CONFIGS})

#: Holders of each role, for the table.
_WHO = {
    Role.ADMIN: "`fraudctl up`",
    Role.PRODUCER: "`fraudctl produce`, the Dag `event_producer`",
    Role.STREAM: "the streaming job",
    Role.ALERTS: "Airflow's connection `kafka_default`, by which the Dag `fraud_alert_response` hears the bell",
    Role.REPLAY: "the Dags `replay_dead_letters` and `publish_verdicts`",
    Role.READER: "`fraudctl status`, `rebuild`; the Dags `reconcile_stream`, `train_fraud_model`, `watch_platform`, "
    "`archive_transactions`, `fraud_alert_response`",
}


def rights(role: Role, mapped: Sequence[str] = ()) -> tuple[Right, ...]:
    """The rights of a role, with those in the topics of a shop's own form, `mapped`."""
    more = (_topics(operation, mapped) for operation in _OF_SOURCES.get(role, ()))
    return RIGHTS[role] + tuple(right for given in more for right in given)


def missing(role: Role, right: Right, kafka: KafkaSettings) -> str:
    """Message to somebody who has the role without the right."""
    return (
        f"Kafka at {kafka.bootstrap} doesn't let {kafka.principal} (role {role}) {right.operation} "
        f"{right.resource} {right.name}: grant it ({_command(kafka, [right])}), "
        f"or set {kafka.setting('sasl_username' if kafka.uses_sasl else 'ssl_certificate_file')} to an account that may"
    )


def commands(kafka: KafkaSettings, mapped: Sequence[str] = ()) -> Iterator[str]:
    """Lines for a shell that grant every role its rights, by the `kafka-acls.sh` that ships with Kafka.

    `mapped` are the topics of a shop's own form.
    """
    for role in RIGHTS:
        yield f"# {role}: {_WHO[role].replace('`', '')}"
        for _, same in groupby(rights(role, mapped), lambda right: (right.resource, right.operation)):
            yield _command(kafka.as_role(role), list(same))


def as_json(kafka: KafkaSettings, mapped: Sequence[str] = ()) -> list[dict[str, str]]:
    """The commands' rights for programs: one object a right, in Kafka's words."""
    return [
        {
            "role": role.value,
            "principal": kafka.as_role(role).principal,
            "resource_type": right.resource.name,
            "resource": right.name,
            "pattern_type": "LITERAL",
            "operation": right.operation.value,
        }
        for role in RIGHTS
        for right in rights(role, mapped)
    ]


def table() -> str:
    """The rights, in Markdown."""
    rows = [f"| `{role}` | {_WHO[role]} | {'; '.join(_cells(given))} |" for role, given in RIGHTS.items()]
    return "\n".join(["| role | who | rights |", "| --- | --- | --- |", *rows, ""])


def _cells(given: Iterable[Right]) -> Iterator[str]:
    for (resource, operation), same in groupby(given, lambda right: (right.resource, right.operation)):
        yield f"{operation} on {resource} {', '.join(f'`{right.name}`' for right in same)}"


def _command(kafka: KafkaSettings, given: list[Right]) -> str:
    words = ["kafka-acls.sh", "--bootstrap-server", kafka.bootstrap, "--command-config", "admin.properties", "--add"]
    words += ["--allow-principal", kafka.principal, "--operation", given[0].operation]
    words += [word for right in given for word in (f"--{right.resource}", right.name)]
    return " ".join(map(shlex.quote, words))
