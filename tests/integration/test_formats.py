"""Topics in Avro, Protobuf and Debezium's envelope on a real Kafka, looked at by `mapping check --topic`.

The registry is the tests' own server, which can fail, and a real one. Another real one's URL may be in
FRAUDSTREAM_TEST_REGISTRY_URL.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from fraudstream.local.install.jars import NotFetchedError
from fraudstream.mappings.suggest import to_toml
from fraudstream.settings import PROJECT_DIR, Settings
from testbed import apicurio
from tests.commands import run_here
from tests.polling import poll
from tests.registry import framed, registry_server

FIELDS = {"transaction_id": "id", "event_time": "at", "customer_id": "customer", "amount": "total"}
COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "customer", "type": "long"},
    {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
]
PROTO = """syntax = "proto3";
message Order { string id = 1; int64 at = 2; string customer = 3; double total = 4; }
"""
AT = 1_772_366_400_000
ORDER: dict[str, Any] = {"at": AT, "customer": 42, "total": Decimal("19.90")}
#: Transaction tx-1 of ORDER, in Avro.
TX_1 = bytes.fromhex("0874782d3180a8a8949567540407c6")


@pytest.fixture(scope="module")
def real_registry(settings: Settings) -> Iterator[str]:
    """A real registry's URL; where it can't be fetched, its tests are left out."""
    if url := os.environ.get("FRAUDSTREAM_TEST_REGISTRY_URL"):
        yield url
        return
    try:
        apicurio.install(settings)
    except NotFetchedError as error:
        pytest.skip(f"no Apicurio Registry: {error}")
    with apicurio.apicurio(settings) as url:
        yield url


@pytest.fixture(params=["own", "real"])
def registry_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "real":
        yield request.getfixturevalue("real_registry")
    else:
        with registry_server() as registry:
            yield registry.url


@pytest.fixture
def topic(settings: Settings) -> str:
    name = f"shop-{uuid4().hex[:8]}"
    admin = AdminClient(settings.kafka.client_config())
    admin.create_topics([NewTopic(name, 1)])[name].result(20)
    return name


def send(settings: Settings, topic: str, *values: bytes | None) -> None:
    producer = Producer(settings.kafka.client_config())
    for value in values:
        producer.produce(topic, value, "k")
    assert producer.flush(20) == 0


def write_mapping(path: Path, source: dict[str, Any], **fields: Any) -> None:
    path.write_text(to_toml({"source": {"kind": "transaction"} | source, "fields": FIELDS | fields}))


def checked(topic: str, path: Path, source: dict[str, Any], **fields: Any) -> str:
    """What is told of the topic's messages, by the mapping that is written to `path`."""
    write_mapping(path, source, **fields)
    done = run_here("fraudstream.mappings", "check", str(path), "--topic", topic)
    assert done.returncode == 0, done.stderr
    return done.stdout


def avro_of(*more: dict[str, Any]) -> str:
    return json.dumps({"type": "record", "name": "Order", "fields": [*COLUMNS, *more]})


def test_avro_is_checked_through_a_change_of_its_schema(
    settings: Settings, topic: str, registry_url: str, tmp_path: Path
) -> None:
    client, context = SchemaRegistryClient({"url": registry_url}), SerializationContext(topic, MessageField.VALUE)
    first = AvroSerializer(client, avro_of())
    later = AvroSerializer(client, avro_of({"name": "pay", "type": ["null", "string"], "default": None}))
    values = [
        first({"id": "tx-1"} | ORDER, context),
        later({"id": "tx-2", "pay": "invoice"} | ORDER, context),
        first({"id": "tx-3"} | ORDER, context),
    ]
    send(settings, topic, *values, framed(2**31 - 1, b"x"), b'{"id": "tx-5"}')
    out = checked(topic, tmp_path / "m.toml", behind(registry_url, "avro"), payment_method="pay")
    assert "5 rows: 3 can be used, 2 are refused" in out
    assert "tx-1, tx-2, tx-3" in out
    assert "19.9" in out
    assert f"UNKNOWN_SCHEMA: the registry has no schema {2**31 - 1}" in out
    assert "NO_SCHEMA_REGISTRY_FRAME" in out


def test_protobuf_is_checked(settings: Settings, topic: str, registry_url: str, tmp_path: Path) -> None:
    number = SchemaRegistryClient({"url": registry_url}).register_schema(f"{topic}-value", Schema(PROTO, "PROTOBUF"))
    # fields 1, 2, 3 and 4: text, varint, text, eight bytes of 19.5
    varint = bytes([AT >> shift & 0x7F | 0x80 for shift in range(0, 35, 7)]) + bytes([AT >> 35])
    data = b"\x0a\x04tx-1\x10" + varint + b"\x1a\x0242\x21" + b"\x00\x00\x00\x00\x00\x80\x33\x40"
    send(settings, topic, framed(number, b"\0" + data))
    time_form = {"path": "at", "time": "epoch_ms"}
    out = checked(topic, tmp_path / "m.toml", behind(registry_url, "protobuf"), event_time=time_form)
    assert "1 rows: 1 can be used, 0 are refused" in out
    assert "2026-03-01T12:00:00.000Z" in out
    assert "19.5" in out


def test_json_with_a_schema_is_checked(settings: Settings, topic: str, registry_url: str, tmp_path: Path) -> None:
    schema = Schema(json.dumps({"type": "object", "properties": {"id": {"type": "string"}}}), "JSON")
    number = SchemaRegistryClient({"url": registry_url}).register_schema(f"{topic}-value", schema)
    order = {"id": "tx-1", "at": "2026-03-01T12:00:00Z", "customer": 42, "total": 19.5}
    send(settings, topic, framed(number, json.dumps(order).encode()))
    out = checked(topic, tmp_path / "m.toml", behind(registry_url, "json-schema"))
    assert "1 rows: 1 can be used, 0 are refused" in out


def test_a_debezium_topic_is_checked_without_its_deletes(settings: Settings, topic: str, tmp_path: Path) -> None:
    row = {"id": "tx-1", "at": "2026-03-01T12:00:00Z", "customer": 42, "total": "19.90"}
    dearer, other = row | {"total": "29.90"}, row | {"id": "tx-2"}
    changes = [("c", None, row), ("u", row, dearer), ("d", row, None), ("r", None, other)]
    values = [json.dumps({"before": old, "after": new, "op": op, "source": {}}).encode() for op, old, new in changes]
    send(settings, topic, *values, None)
    out = checked(topic, tmp_path / "m.toml", {"format": "json", "envelope": "debezium"})
    assert "3 rows: 3 can be used, 0 are refused" in out
    assert "19.9, 29.9" in out


def test_a_mapping_is_guessed_from_a_topic(settings: Settings, topic: str, tmp_path: Path) -> None:
    order = {"orderNo": "tx-1", "placedAt": "2026-03-01T12:00:00Z", "buyer": {"customerNo": "c1"}, "total": 19.9}
    change = {"before": None, "after": order | {"note": "a gift"}, "op": "c", "source": {}}
    send(settings, topic, json.dumps(change).encode(), None)
    path = tmp_path / "guessed.toml"
    done = run_here("fraudstream.mappings", "suggest", "--topic", topic, "--out", str(path))
    assert done.returncode == 0, done.stderr
    assert "not mapped: `note` ('a gift')" in done.stderr
    out = run_here("fraudstream.mappings", "check", str(path), "--topic", topic).stdout
    assert "1 rows: 1 can be used, 0 are refused" in out


def test_messages_of_which_none_can_be_read_suggest_nothing(settings: Settings, topic: str) -> None:
    send(settings, topic, b"\0\1\2")
    done = run_here("fraudstream.mappings", "suggest", "--topic", topic)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"topic {topic}, as JSON, has no record that can be read" in done.stderr


def test_a_check_waits_for_a_registry_that_is_away_at_first(settings: Settings, topic: str, tmp_path: Path) -> None:
    with registry_server() as registry:
        registry.fails = True
        send(settings, topic, framed(registry.register(avro_of()), TX_1))
        write_mapping(tmp_path / "m.toml", behind(registry.url, "avro"))
        command = [sys.executable, "-m", "fraudstream.mappings", "check", str(tmp_path / "m.toml"), "--topic", topic]
        process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PROJECT_DIR)
        poll(lambda: len(registry.asked) > 1, 60, "a second question to the registry")
        assert process.poll() is None
        registry.fails = False
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "1 rows: 1 can be used" in out


def behind(url: str, form: str) -> dict[str, Any]:
    return {"format": form, "registry": {"url": url}}
