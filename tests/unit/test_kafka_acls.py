"""The declared rights: complete, documented, and printed so that an administrator can run them."""

import itertools
import shlex

from fraudstream.kafka import acls as kafka_acls
from fraudstream.kafka.acls import RIGHTS, ConsumerGroup, Operation, Resource, Right
from fraudstream.messages.contracts import Topic
from fraudstream.settings.kafka import KafkaSettings, Role

KAFKA = KafkaSettings.model_validate(
    {
        "bootstrap_servers": "kafka:9094",
        "security_protocol": "SASL_SSL",
        "sasl_username": "shop",
        "stream": {"sasl_username": "scorer"},
    }
)


def test_every_topic_and_group_is_somebodys() -> None:
    rights = [right for given in RIGHTS.values() for right in given]
    for operation in (Operation.WRITE, Operation.CREATE):
        assert {r.name for r in rights if r.operation is operation and r.resource is Resource.TOPIC} == set(Topic)
    assert {right.name for right in rights if right.resource is Resource.GROUP} == set(ConsumerGroup)


def test_the_commands_grant_each_right_to_its_account() -> None:
    granted = set()
    for line in kafka_acls.commands(KAFKA):
        if line.startswith("#"):
            continue
        words = shlex.split(line)
        assert words[:3] == ["kafka-acls.sh", "--bootstrap-server", "kafka:9094"]
        principal, operation = (words[words.index(option) + 1] for option in ("--allow-principal", "--operation"))
        pairs = itertools.pairwise(words)
        granted |= {
            (principal, operation, option.removeprefix("--"), name)
            for option, name in pairs
            if option in ("--topic", "--group")
        }
    assert granted == {
        (f"User:{'scorer' if role is Role.STREAM else 'shop'}", right.operation, right.resource, right.name)
        for role, rights in RIGHTS.items()
        for right in rights
    }
    as_json = {
        (r["principal"], r["operation"], r["resource_type"].lower(), r["resource"]) for r in kafka_acls.as_json(KAFKA)
    }
    assert as_json == granted


def test_a_missing_right_is_told_with_the_command_that_grants_it() -> None:
    told = kafka_acls.missing(
        Role.STREAM, Right(Resource.TOPIC, "transactions", Operation.READ), KAFKA.as_role(Role.STREAM)
    )
    assert "doesn't let User:scorer (role stream) READ topic transactions" in told
    assert "--allow-principal User:scorer --operation READ --topic transactions" in told
    assert "FRAUDSTREAM_KAFKA__STREAM__SASL_USERNAME" in told
