"""The files of deploy/kubernetes: valid by Kubernetes' own schemas, and true to the code's names."""

from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from fraudstream.kafka.acls import ConsumerGroup
from fraudstream.messages.contracts import Topic
from fraudstream.settings import ENV_PREFIX, PROJECT_DIR, Settings
from fraudstream.settings.exports import secret_variables

FOLDER = PROJECT_DIR / "deploy" / "kubernetes"
#: The oldest and the newest of those that were looked at.
VERSIONS = ("1.33", "1.37")


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def everything(value: Any) -> Iterator[dict[str, Any]]:
    """All mappings of a document."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from everything(inner)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["platform.yaml", "driver-pod.yaml", "executor-pod.yaml"])
def test_it_fits_the_schemas_of_kubernetes(name: str, version: str) -> None:
    for document in documents(name):
        kubernetes_validate.validate(document, version, strict=True)


def test_every_topic_is_made_with_replicas_that_outlive_a_broker() -> None:
    topics = [each for each in documents("kafka.yaml") if each["kind"] == "KafkaTopic"]
    assert {each["metadata"]["name"] for each in topics} == {topic.value for topic in Topic}
    for each in topics:
        spec = each["spec"]
        assert spec["replicas"] > spec["config"]["min.insync.replicas"] > 1
        assert spec["config"]["message.timestamp.type"] == "LogAppendTime"
        assert "cleanup.policy" not in spec["config"]  # the accounting counts offsets: no compaction


def test_every_account_may_only_what_it_names() -> None:
    users = [each["spec"] for each in documents("kafka.yaml") if each["kind"] == "KafkaUser"]
    assert len(users) == 6
    named = {topic.value for topic in Topic} | {group.value for group in ConsumerGroup}
    for user in users:
        assert user["authentication"] == {"type": "scram-sha-512"}
        for rule in user["authorization"]["acls"]:
            assert (rule["resource"]["name"] in named, rule["resource"]["patternType"]) == (True, "literal")
            assert "All" not in rule["operations"]


def test_settings_exist_and_hold_no_secret() -> None:
    [config] = [each["data"] for each in documents("platform.yaml") if each["kind"] == "ConfigMap"]
    assert ENV_PREFIX + "KAFKA__SSL_CA_FILE" in config
    assert not set(config) & set(secret_variables())
    for name in config:
        group, _, field = name.removeprefix(ENV_PREFIX).lower().partition("__")
        known = type(getattr(Settings(), group)).model_fields if field else Settings.model_fields
        assert (field or group) in known


@pytest.mark.parametrize("name", ["platform.yaml", "driver-pod.yaml", "executor-pod.yaml", "airflow-values.yaml"])
def test_passwords_come_from_secrets_only(name: str) -> None:
    for document in documents(name):
        for mapping in everything(document):
            if "PASSWORD" in str(mapping.get("name", "")):
                assert "value" not in mapping
                assert "secretKeyRef" in mapping["valueFrom"]


def test_executors_have_no_password_of_postgres_and_no_token() -> None:
    [executor], [driver] = documents("executor-pod.yaml"), documents("driver-pod.yaml")
    assert executor["spec"]["automountServiceAccountToken"] is False
    assert "pgpass" not in str(executor)
    assert "pgpass" in str(driver)


def test_the_pods_are_those_that_spark_is_told() -> None:
    lines = (FOLDER / "spark.properties").read_text().splitlines()
    told = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    for role in ("driver", "executor"):
        [pod] = documents(f"{role}-pod.yaml")
        names = [container["name"] for container in pod["spec"]["containers"]]
        assert names == [told[f"spark.kubernetes.{role}.podTemplateContainerName"]]
        assert told[f"spark.kubernetes.{role}.podTemplateFile"] == f"/etc/fraudstream/{role}-pod.yaml"
    accounts = [each["metadata"]["name"] for each in documents("platform.yaml") if each["kind"] == "ServiceAccount"]
    assert told["spark.kubernetes.authenticate.driver.serviceAccountName"] in accounts
    assert not [key for key in told if "secret" in key or "password" in key]
