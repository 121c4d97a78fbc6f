"""Checks that Kafka lets us do our work, before the work begins."""

import time
from collections.abc import Iterable, Iterator, Sequence

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

from fraudstream.kafka.acls import DISPENSABLE, Operation, Resource, Right, missing, rights
from fraudstream.kafka.errors import ClientErrors, KafkaRefusedError, KafkaUnavailableError, connected
from fraudstream.settings.kafka import KafkaSettings, Role

#: A refusal counts when it lasts: a broker that has just started knows its users a moment later.
REFUSED_SECONDS = 3.0
_ATTEMPT_SECONDS = 2.0
_ANSWER_SECONDS = 10.0
#: A refusal comes at once; what takes longer is a broker that has still to load the group.
_GROUP_SECONDS = 3.0


def connect(kafka: KafkaSettings, seconds: float) -> tuple[AdminClient, ClientErrors]:
    """A client that has reached Kafka, and what it notes of its errors.

    Raises KafkaRefusedError when Kafka refuses us, or we don't trust it; KafkaUnavailableError when nobody answers
    within `seconds`; SettingsError when a password is missing.
    """
    errors = ClientErrors(kafka)
    config = kafka.client_config() | {"log_level": 0, "error_cb": errors, "socket.connection.setup.timeout.ms": 3000}
    admin: AdminClient = connected(AdminClient, kafka, config)
    deadline, refused_at = time.monotonic() + seconds, float("inf")
    while True:
        try:
            admin.list_topics(timeout=_ATTEMPT_SECONDS)
        except KafkaException as error:
            admin.poll(0)
            now = time.monotonic()
            refused_at = min(refused_at, now) if errors.refused else float("inf")
            if now - refused_at >= REFUSED_SECONDS or now >= deadline:
                raise errors.explain(error) from None
        else:
            errors.forget()
            return admin, errors


def check(
    kafka: KafkaSettings, role: Role, seconds: float, topics: Iterable[str] = (), mapped: Sequence[str] = ()
) -> None:
    """Raises KafkaRefusedError naming the first right that the role lacks; and as `connect` does.

    A topic that doesn't exist is no lack of a right, nor is one of `DISPENSABLE`. `topics` are those that matter;
    empty: all. `mapped` are those of a shop's own form.
    """
    mine, wanted = kafka.as_role(role), set(topics)
    needed = (right for right in rights(role, mapped) if right.operation not in DISPENSABLE)
    asked = [right for right in needed if not wanted or right.name in wanted]
    admin, errors = connect(mine, seconds)
    try:
        for right in _lacking(admin, asked):
            raise KafkaRefusedError(missing(role, right, mine))
    except (KafkaException, TimeoutError) as error:
        raise errors.explain(error) from error


def problems(kafka: KafkaSettings, seconds: float, mapped: Sequence[str] = ()) -> Iterator[str]:
    """Rights that any of the roles lacks, a line each; what several roles have in common is said once."""
    told = set()
    for role in Role:
        try:
            check(kafka, role, seconds, mapped=mapped)
        except KafkaUnavailableError as error:
            if str(error) not in told:
                told.add(str(error))
                yield str(error)
            if not isinstance(error, KafkaRefusedError):
                return  # nobody answers: not the other roles, either


def _lacking(admin: AdminClient, asked: Sequence[Right]) -> Iterator[Right]:
    on_topics = [right for right in asked if right.resource is Resource.TOPIC]
    allowed = _allowed_on_topics(admin, {right.name for right in on_topics})
    for right in on_topics:
        operations = allowed[right.name]
        if operations is not None and right.operation not in operations:
            yield right
    for right in asked:
        if right.resource is Resource.GROUP and not _may_use_group(admin, right.name):
            yield right


def _allowed_on_topics(admin: AdminClient, names: set[str]) -> dict[str, set[str] | None]:
    """Operations that we may do on each; None where nobody knows: no such topic, or a broker that doesn't tell."""
    if not names:
        return {}
    answers = admin.describe_topics(
        TopicCollection(sorted(names)), include_authorized_operations=True, request_timeout=_ANSWER_SECONDS
    )
    allowed: dict[str, set[str] | None] = {}
    for name, answer in answers.items():
        try:
            told: list[AclOperation] | None = answer.result(_ANSWER_SECONDS).authorized_operations
        except KafkaException as error:
            code = error.args[0].code()
            if code not in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART):
                raise
            allowed[name] = set() if code == KafkaError.TOPIC_AUTHORIZATION_FAILED else None
        else:
            # CREATE is only meant for topics that don't exist yet.
            allowed[name] = None if told is None else {operation.name for operation in told} | {Operation.CREATE}
    return allowed


def _may_use_group(admin: AdminClient, group: str) -> bool:
    """A group that we may READ may be described; whatever else is said of it, such as that it is unknown."""
    (answer,) = admin.describe_consumer_groups([group], request_timeout=_GROUP_SECONDS).values()
    try:
        answer.result(_GROUP_SECONDS + _ANSWER_SECONDS)
    except KafkaException as error:
        return bool(error.args[0].code() != KafkaError.GROUP_AUTHORIZATION_FAILED)
    return True
